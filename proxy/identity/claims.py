"""From a verified token to an identity; and the local check of a token when the site's secret key is known."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from dataclasses import dataclass, replace

import msgspec

from proxy.domain.base64url import decoded
from proxy.domain.fields import Fields
from proxy.domain.freshness import DATE_PRECISION_S
from proxy.domain.identity import Identity, IdentityKind
from proxy.domain.keys import fields_digest, token_digest

NOT_BEFORE_LEEWAY_S = 5 * DATE_PRECISION_S
"""What we know of Cloudreve's clock may lag behind it by a second or two: a token just given out is good already."""

_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
"""Three parts of unpadded base64url (RFC 7515 §7.1). Python's decoder would skip whatever else is in there, and what we
take for a user's token must not be what Cloudreve silently takes for anonymous."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token; worth nothing until verified."""

    subject: str
    expires: float
    not_before: float
    kind: str
    client: str
    scopes: tuple[str, ...]


class _Header(msgspec.Struct):
    alg: str


class _Shape(msgspec.Struct):
    exp: float = math.inf


class _Payload(msgspec.Struct):
    sub: str
    exp: float
    token_type: str = ""
    nbf: float = 0.0
    client_id: str = ""
    scopes: list[str] = []


def read_claims(token: str) -> Claims | None:
    """Read a JWT's claims without verifying them; None when it is no such token."""
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        return None
    try:
        payload = msgspec.json.decode(decoded(parts[2]), type=_Payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    scopes = tuple(sorted(set(payload.scopes)))
    return Claims(payload.sub, payload.exp, payload.nbf, payload.token_type, payload.client_id, scopes)


def is_acceptable(token: str, now: float) -> bool:
    """Tell whether Cloudreve could accept a token at all: an HS256 JWT that has not expired. No proof of anything."""
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        return False
    try:
        algorithm = msgspec.json.decode(decoded(parts[1]), type=_Header).alg
        expires = msgspec.json.decode(decoded(parts[2]), type=_Shape).exp
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return algorithm == "HS256" and now - DATE_PRECISION_S < expires


def verify(token: str, secret_key: bytes, now: float) -> Claims | None:
    """Check an access token with the site's secret key (HS256 and nothing else); None when it is not valid at `now`."""
    if not _is_signed(token, secret_key):
        return None
    claims = read_claims(token)
    if claims is None or claims.kind != "access" or not claims.subject:
        return None
    return claims if claims.not_before - NOT_BEFORE_LEEWAY_S <= now < claims.expires else None


def identity_of(token: str, subject: str) -> Identity:
    """Name the user behind a token that has been verified to be `subject`'s.

    An OAuth token is an identity of its own, since two tokens of one user may have different rights. A token that
    cannot be read stands for itself alone.
    """
    claims = read_claims(token)
    if claims is None or claims.subject != subject:
        return Identity(IdentityKind.USER, subject, client=f"token:{token_digest(token)}")
    return Identity(IdentityKind.USER, subject, claims.client, claims.scopes)


def holding(identity: Identity, fields: Fields) -> Identity:
    """Return the identity with the request fields that it brings, with which it may see more."""
    return replace(identity, fields=fields_digest(fields))


def _is_signed(token: str, secret_key: bytes) -> bool:
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        return False
    try:
        algorithm = msgspec.json.decode(decoded(parts[1]), type=_Header).alg
        given = decoded(parts[3])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    expected = hmac.digest(secret_key, f"{parts[1]}.{parts[2]}".encode(), hashlib.sha256)
    return algorithm == "HS256" and hmac.compare_digest(expected, given)
