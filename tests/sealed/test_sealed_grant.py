"""The content of a sealed URL comes out as it went in, and for its own site only."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.file_uri import FileUri
from proxy.domain.grant import Grant
from proxy.domain.grant_stamp import GrantStamp
from proxy.domain.identity import ANONYMOUS, Identity, IdentityKind
from proxy.domain.keys import grant_key
from proxy.domain.tags import EVERYTHING, SHARES
from proxy.sealed.sealed_grant import VERSION, SealedGrant, decode, encode, sealed_grant

SITE = "0a1b2c3d"
ALICE = Identity(IdentityKind.USER, "Q4aR", "client", ("Files.Read", "openid"), "ab12")
URI = FileUri("cloudreve://AEUa:pw123@share/one.jpg", "share")
GRANT = Grant("https://cloud.example.com/x?sign=y", 1795000000.5, "ab" * 20, own=True)
SEALED = sealed_grant(ALICE, URI, GRANT)

texts = st.text(max_size=20)
identities = st.builds(Identity, st.sampled_from(IdentityKind), texts, texts, st.tuples(texts), texts)
names = st.binary(min_size=20, max_size=20).map(bytes.hex)
grants = st.builds(Grant, texts, st.floats(allow_nan=False), names, st.booleans())


@given(identities, grants)
def test_a_sealed_grant_comes_back_as_it_was(identity: Identity, grant: Grant) -> None:
    sealed = sealed_grant(identity, URI, replace(grant, stamp=GrantStamp(b"o", 1, "log", 2)), (EVERYTHING, SHARES))
    assert decode(encode(sealed, SITE), SITE) == sealed
    assert sealed.identity == identity
    assert sealed.grant == replace(grant, stamp=GrantStamp(b"o", 1, "log", 2))
    assert sealed.place == grant_key(identity, URI)


def test_the_file_uri_is_not_in_it() -> None:
    """A share's password is in no history and no log, not even encrypted."""
    written = encode(SEALED, SITE)
    assert b"pw123" not in written
    assert b"one.jpg" not in written


@pytest.mark.parametrize(
    "other",
    [
        sealed_grant(ANONYMOUS, URI, GRANT),
        sealed_grant(replace(ALICE, subject="x"), URI, GRANT),
        sealed_grant(replace(ALICE, client="x"), URI, GRANT),
        sealed_grant(replace(ALICE, fields="x"), URI, GRANT),
        sealed_grant(replace(ALICE, scopes=("Files.Write",)), URI, GRANT),
        sealed_grant(ALICE, FileUri("cloudreve://my/other.jpg", "my"), GRANT),
        sealed_grant(ALICE, URI, replace(GRANT, url="https://cloud.example.com/x?sign=z")),
        sealed_grant(ALICE, URI, replace(GRANT, fresh_until=1795000001.0)),
        sealed_grant(ALICE, URI, replace(GRANT, picture="cd" * 20)),
        sealed_grant(ALICE, URI, replace(GRANT, own=False)),
    ],
)
def test_a_sealed_grant_is_bound_to_identity_uri_url_and_expiry(other: SealedGrant) -> None:
    assert other != SEALED
    assert encode(other, SITE) != encode(SEALED, SITE)


def test_a_version_learnt_about_a_grant_does_not_change_its_text() -> None:
    """The URL stays the same while the grant lives, whatever is noted beside it."""
    assert sealed_grant(ALICE, URI, replace(GRANT, version='"v1"', granted_at=1794996400.0)) == SEALED


def test_another_site_does_not_read_it() -> None:
    assert decode(encode(SEALED, SITE), "ffffffff") is None


@given(st.binary(max_size=100))
def test_any_other_text_is_no_grant(raw: bytes) -> None:
    assert decode(raw, SITE) is None


def test_another_version_is_nothing() -> None:
    values = msgspec.msgpack.decode(encode(SEALED, SITE))
    assert values[0] == VERSION
    assert decode(msgspec.msgpack.encode([VERSION + 1, *values[1:]]), SITE) is None
    assert decode(msgspec.msgpack.encode([*values, 1]), SITE) is None
    assert decode(msgspec.msgpack.encode(values[:-1]), SITE) is None


def test_a_url_of_cloudreve_makes_a_short_one() -> None:
    url = "https://cloud.example.com/api/v4/file/content/3acW/0/sunset.jpg.jpg?sign=" + "x" * 60
    assert len(encode(sealed_grant(Identity(IdentityKind.USER, "Q4aR"), URI, replace(GRANT, url=url)), SITE)) < 230
