"""What Cloudreve signs with its secret key: tokens of users, and image URLs."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

_DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


@dataclass(frozen=True, slots=True)
class Token:
    """The claims of a JSON web token (docs/cloudreve.md, whoami)."""

    kind: str
    """`access` or `refresh`."""
    subject: str
    not_before: float
    expires: float
    client: str = ""
    """OAuth client id; empty for a token from signing in, whose scopes count for nothing."""
    scopes: tuple[str, ...] = ()
    root: str = ""
    """The sign-in that a refresh token comes from."""


def issue(token: Token, secret: str) -> str:
    """Sign a token with HS256."""
    claims: dict[str, object] = {"token_type": token.kind, "sub": token.subject}
    claims |= {"exp": int(token.expires), "nbf": int(token.not_before)}
    if token.scopes:
        claims["scopes"] = list(token.scopes)
    if token.client:
        claims["client_id"] = token.client
    if token.root:
        claims["root_token_id"] = token.root
    signed = f"{_packed({'alg': 'HS256', 'typ': 'JWT'})}.{_packed(claims)}"
    return f"{signed}.{_bare(_mac(signed, secret, 'HS256'))}"


def verify(text: str, secret: str, now: float) -> Token | None:
    """Return the token's claims if it is signed with the secret and valid now."""
    try:
        signed, _, signature = text.rpartition(".")
        head, _, body = signed.partition(".")
        algorithm = _unpacked(head)["alg"]
        if algorithm not in _DIGESTS:
            return None
        expected = _mac(signed, secret, str(algorithm))
        claims = _unpacked(body)
        valid = hmac.compare_digest(_raw(signature), expected) and _within(claims, now)
        return _token(claims) if valid else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def sign_path(path: str, secret: str, expires: float) -> str:
    """Sign a decoded path until a whole second; 0 means for ever."""
    until = int(expires)
    return f"{urlsafe_b64encode(_mac(f'{path}:{until}', secret, 'HS256')).decode()}:{until}"


def check_path(path: str, signature: str, secret: str, now: float) -> tuple[int, str] | None:
    """Return None for a good signature, else the code and message of the first thing that is wrong with it."""
    until = signature.rpartition(":")[2]
    if not until:
        return 403, "expire timestamp is missing"
    try:
        expires = int(until)
    except ValueError:
        return 40071, "sign expired"
    if expires != 0 and expires < int(now):
        return 40005, "signature expired"
    good = hmac.compare_digest(sign_path(path, secret, expires).encode(), signature.encode())
    return None if good else (40071, "invalid sign")


def _within(claims: dict[str, object], now: float) -> bool:
    """Say whether the token is valid now; a time that is not there is no limit."""
    return float(str(claims.get("nbf", now))) <= now < float(str(claims.get("exp", now + 1)))


def _token(claims: dict[str, object]) -> Token:
    scopes = claims.get("scopes") or ()
    return Token(
        kind=str(claims.get("token_type", "")),
        subject=str(claims.get("sub", "")),
        not_before=float(str(claims.get("nbf", 0))),
        expires=float(str(claims.get("exp", 0))),
        client=str(claims.get("client_id", "")),
        scopes=tuple(str(scope) for scope in scopes) if isinstance(scopes, list) else (),
        root=str(claims.get("root_token_id", "")),
    )


def _mac(text: str, secret: str, algorithm: str) -> bytes:
    return hmac.new(secret.encode(), text.encode(errors="surrogateescape"), _DIGESTS[algorithm]).digest()


def _packed(value: dict[str, object]) -> str:
    return _bare(json.dumps(value, separators=(",", ":")).encode())


def _unpacked(text: str) -> dict[str, object]:
    value: dict[str, object] = json.loads(_raw(text))
    return value


def _bare(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
