"""Identities: whose a token is, and which tokens are worth nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode, urlsafe_b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.identity import ANONYMOUS, Identity, IdentityKind
from proxy.domain.request_fields import TICKET
from proxy.identity.claims import NOT_BEFORE_LEEWAY_S, Claims, holding, identity_of, read_claims, verify

KEY = b"the site's own secret key"
NOW = 1795434687.0
HEADER = {"alg": "HS256", "typ": "JWT"}
ACCESS: dict[str, Any] = {"token_type": "access", "sub": "xntj", "exp": NOW + 3600, "nbf": NOW - 60}
OAUTH = ACCESS | {"client_id": "9760082c", "scopes": ["openid", "Files.Read"]}


def part(value: object) -> str:
    """Write one part of a token: JSON, or bytes as they are, in unpadded base64url."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(payload: object = ACCESS, header: object = HEADER, key: bytes = KEY, algorithm: str = "sha256") -> str:
    """Sign a token as Cloudreve does, or in some other way."""
    signed = f"{part(header)}.{part(payload)}"
    return f"{signed}.{part(hmac.digest(key, signed.encode(), algorithm))}"


def test_an_access_token_of_the_site_is_valid() -> None:
    assert verify(token(), KEY, NOW) == Claims("xntj", NOW + 3600, NOW - 60, "access", "", ())
    claims = verify(token(OAUTH), KEY, NOW)
    assert claims is not None
    assert (claims.client, claims.scopes) == ("9760082c", ("Files.Read", "openid"))


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(token(key=b"another key"), id="wrong key"),
        pytest.param(token(key=b""), id="empty key"),
        pytest.param(token(header={"alg": "HS384"}, algorithm="sha384"), id="HS384, well signed"),
        pytest.param(token(header={"alg": "HS512"}, algorithm="sha512"), id="HS512, well signed"),
        pytest.param(token(header={"alg": "HS384"}), id="HS384, signed with HS256"),
        pytest.param(token(header={"alg": "RS256"}), id="RS256 over our key"),
        pytest.param(token(header={"alg": "none"}), id="none, signed"),
        pytest.param(token(header={"alg": "none"}).rpartition(".")[0] + ".", id="none, unsigned"),
        pytest.param(token().rpartition(".")[0] + ".", id="signature missing"),
        pytest.param(token().rpartition(".")[0], id="signature and its dot missing"),
        pytest.param(token()[:-4], id="signature cut"),
        pytest.param(token(header={"alg": "hs256"}), id="algorithm in lower case"),
        pytest.param(token(header={"alg": ["HS256"]}), id="algorithm in a list"),
        pytest.param(token(header={"typ": "JWT"}), id="no algorithm"),
        pytest.param(token(header=b'{"alg":"HS256","alg":"none"}'), id="two algorithms, the last is none"),
        pytest.param(token(header=b"HS256"), id="header is no JSON"),
        pytest.param(token(ACCESS | {"exp": NOW - 1}), id="expired"),
        pytest.param(token(ACCESS | {"exp": NOW}), id="expiring this second"),
        pytest.param(token(ACCESS | {"exp": str(NOW + 3600)}), id="end as text"),
        pytest.param(token({k: v for k, v in ACCESS.items() if k != "exp"}), id="without end"),
        pytest.param(token(ACCESS | {"nbf": NOW + 60}), id="not yet valid"),
        pytest.param(token(ACCESS | {"token_type": "refresh"}), id="refresh token"),
        pytest.param(token({k: v for k, v in ACCESS.items() if k != "token_type"}), id="of no type"),
        pytest.param(token(ACCESS | {"sub": ""}), id="of nobody"),
        pytest.param(token(ACCESS | {"sub": None}), id="of null"),
        pytest.param(token([ACCESS]), id="payload is a list"),
        pytest.param(token(b'{"sub":"\xff","exp":9e9,"token_type":"access"}'), id="payload is not UTF-8"),
        pytest.param(token(b'{"exp":1e999,"sub":"xntj","token_type":"access"}'), id="endless"),
        pytest.param(token(b'{"a":' + b"[" * 100_000), id="nested deeply"),
        pytest.param(token(b"x" * 1_000_000), id="huge"),
        pytest.param(f"{part(HEADER)}.{token()}", id="four parts"),
        pytest.param("", id="empty"),
        pytest.param("..", id="dots"),
        pytest.param("garbage", id="garbage"),
    ],
)
def test_any_other_token_is_worth_nothing(bad: str) -> None:
    """HS256 with the site's own key, of the type `access`, now, and nothing else; never an exception."""
    assert verify(bad, KEY, NOW) is None


@pytest.mark.parametrize("junk", ["=", "==", "~", "+", "/", "!", " ", "\n", "é", "\udcff", "\u212a", "A"], ids=ascii)
@pytest.mark.parametrize("place", ["after the header", "after the payload", "after the signature"])
def test_a_valid_token_with_anything_added_is_worth_nothing(junk: str, place: str) -> None:
    """Padding and foreign characters, which lax decoders skip: Cloudreve would silently see an anonymous visitor."""
    parts = token().split(".")
    index = ("after the header", "after the payload", "after the signature").index(place)
    parts[index] += junk
    assert verify(".".join(parts), KEY, NOW) is None


def test_the_standard_alphabet_is_not_taken_for_the_url_safe_one() -> None:
    """The same bytes, spelled as Cloudreve would not read them."""
    for number in range(1000):  # some signature contains one of the two characters in question
        good = token(ACCESS | {"exp": NOW + 1 + number})
        signed, _, signature = good.rpartition(".")
        spelled = f"{signed}.{signature.replace('-', '+').replace('_', '/')}"
        assert verify(good, KEY, NOW) is not None
        assert spelled == good or verify(spelled, KEY, NOW) is None


def test_a_signed_url_of_cloudreve_is_no_token() -> None:
    """Cloudreve signs URLs with the same key: what it signed must not become a token by way of a lax decoder."""
    text = "/api/v4/file/content/3acW/0/" + token().rpartition(".")[0] + ":1795438287"
    signature = b64encode(hmac.digest(KEY, text.encode(), hashlib.sha256), b"-_").decode()
    for spelled in (f"{text}.{signature}", f"{text}.{signature.rstrip('=')}"):
        assert verify(spelled, KEY, NOW) is None


def test_of_two_claims_with_one_name_the_last_counts_everywhere() -> None:
    """As in Cloudreve: what is verified and what names the identity cannot be two different claims."""
    doubled = token(
        b'{"sub":"alice","sub":"bob","token_type":"refresh","token_type":"access","nbf":0,"exp":1,"exp":9e9}'
    )
    claims = verify(doubled, KEY, NOW)
    assert claims is not None
    assert claims.subject == "bob"
    assert identity_of(doubled, "bob") == Identity(IdentityKind.USER, "bob")


def test_a_token_just_given_out_is_valid_although_our_clock_lags_a_little() -> None:
    """A page asks for its pictures in the very second of signing in."""
    fresh = token(ACCESS | {"nbf": NOW})
    assert verify(fresh, KEY, NOW - 1.5) is not None
    assert verify(fresh, KEY, NOW - NOT_BEFORE_LEEWAY_S - 0.1) is None


def test_a_token_without_a_beginning_is_valid() -> None:
    """`nbf` is optional (RFC 7519 §4.1.5)."""
    assert verify(token({k: v for k, v in ACCESS.items() if k != "nbf"}), KEY, NOW) is not None


@given(st.text(st.characters(exclude_categories=()), max_size=80))
def test_no_text_at_all_makes_the_readers_raise(text: str) -> None:
    for candidate in (text, f"{part(HEADER)}.{text}", f"{part(HEADER)}.{part(text.encode(errors='replace'))}.{text}"):
        assert verify(candidate, KEY, NOW) is None
        assert identity_of(candidate, "xntj").subject == "xntj"


@given(st.data())
def test_a_token_changed_in_any_one_character_is_not_valid(data: st.DataObject) -> None:
    """Except for the last character's spare bits, which stand for nothing, in Cloudreve as here."""
    good = token(OAUTH)
    index = data.draw(st.integers(0, len(good) - 2))
    character = data.draw(st.characters(exclude_characters=good[index]))
    assert verify(good[:index] + character + good[index + 1 :], KEY, NOW) is None


def test_a_token_from_signing_in_names_the_user() -> None:
    """Two of them are one identity and share what Cloudreve granted."""
    assert identity_of(token(), "xntj") == Identity(IdentityKind.USER, "xntj")
    assert identity_of(token(), "xntj") == identity_of(token(ACCESS | {"exp": NOW + 7200}), "xntj")


def test_two_oauth_tokens_with_different_rights_are_two_identities() -> None:
    """Same user, but other scopes, another client, or none at all."""
    payloads = [
        ACCESS,
        OAUTH,
        OAUTH | {"scopes": ["openid"]},
        OAUTH | {"scopes": ["openid", "Files.Write"]},
        OAUTH | {"scopes": []},
        OAUTH | {"client_id": "other"},
        ACCESS | {"scopes": ["openid"]},
    ]
    identities = {identity_of(token(payload), "xntj") for payload in payloads}
    assert len(identities) == len(payloads)
    assert ANONYMOUS not in identities


def test_the_order_of_scopes_does_not_matter() -> None:
    other = OAUTH | {"scopes": ["Files.Read", "openid", "openid"]}
    assert identity_of(token(other), "xntj") == identity_of(token(OAUTH), "xntj")


@pytest.mark.parametrize(
    "unreadable", ["opaque", "a.b.c", token(ACCESS | {"sub": "other"}), token(ACCESS | {"scopes": None}), token() + "="]
)
def test_a_token_that_cannot_be_read_stands_for_itself_alone(unreadable: str) -> None:
    """Cloudreve vouches for its user but we do not know its rights: nothing is shared, and the token is not shown."""
    identity = identity_of(unreadable, "xntj")
    assert identity.subject == "xntj"
    assert identity != identity_of(unreadable + "x", "xntj")
    assert identity != Identity(IdentityKind.USER, "xntj")
    assert unreadable not in repr(identity)


@pytest.mark.parametrize("identity", [ANONYMOUS, Identity(IdentityKind.USER, "xntj", "client", ("openid",))])
def test_a_ticket_makes_another_identity(identity: Identity) -> None:
    """It may open more; another ticket is another asker still, and none of them is shown."""
    with_ticket = holding(identity, ((TICKET, "paid"),))
    assert with_ticket != identity
    assert with_ticket == holding(identity, ((TICKET, "paid"),)) != holding(identity, ((TICKET, "paid2"),))
    assert replace(with_ticket, fields="") == identity == holding(identity, ())
    assert "paid" not in repr(with_ticket)


def test_claims_are_read_without_being_believed() -> None:
    claims = read_claims(token(OAUTH, key=b"whatever"))
    assert claims is not None
    assert claims.subject == "xntj"
