"""Reads Cloudreve's JSON: a thumbnail link, a refusal, or 'still generating'. Its `code` decides, not the status."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from html import unescape
from typing import Annotated, TypeVar

import msgspec
from yarl import URL

from proxy.domain.digest import digest
from proxy.domain.errors import Refused, UpstreamError
from proxy.domain.refusal import FAILED_CODE, UPLOAD_FAILED_CODES, Generating, Refusal, RefusalKind
from proxy.upstream.json_answer import read_answer

T = TypeVar("T")

GENERATING_CODES = frozenset({409, 40073}) | UPLOAD_FAILED_CODES
"""Object conflict, lock conflict and failed upload: what a call meets while the file is moved, or while another call
generates the same thumbnail (docs/cloudreve.md, Generating)."""

GRANT_REJECTED_CODES = frozenset({403, 40005, 40071, 40077})
"""What an image URL answers when its signature or its entity is no longer honoured (docs/cloudreve.md, fetch)."""

_KINDS: dict[int, RefusalKind] = {
    FAILED_CODE: RefusalKind.NOT_FOUND,  # generation failed; 40077 from the next call on
    401: RefusalKind.UNAUTHENTICATED,
    403: RefusalKind.FORBIDDEN,
    404: RefusalKind.NOT_FOUND,
    40001: RefusalKind.BAD_REQUEST,
    40006: RefusalKind.FORBIDDEN,  # not allowed by the storage policy (docs/cloudreve.md, Codes)
    40007: RefusalKind.FORBIDDEN,  # not allowed to the user's group
    40008: RefusalKind.FORBIDDEN,  # for administrators
    40016: RefusalKind.NOT_FOUND,
    40017: RefusalKind.FORBIDDEN,  # user banned
    40018: RefusalKind.FORBIDDEN,  # user not activated
    40019: RefusalKind.NOT_FOUND,  # the feature is off
    40020: RefusalKind.UNAUTHENTICATED,
    40021: RefusalKind.UNAUTHENTICATED,  # no such user
    40044: RefusalKind.NOT_FOUND,
    40058: RefusalKind.NOT_FOUND,
    40069: RefusalKind.FORBIDDEN,
    40070: RefusalKind.FORBIDDEN,  # preview of this share is disabled
    40077: RefusalKind.NOT_FOUND,
    40078: RefusalKind.NOT_FOUND,
    40082: RefusalKind.FORBIDDEN,  # for owners
    40083: RefusalKind.PAYMENT_REQUIRED,
    40088: RefusalKind.UNAUTHENTICATED,
    40089: RefusalKind.FORBIDDEN,
}

_NO_USER = (50001, "failed to get login user")
"""What every call gets with a token whose user is banned or deleted, and with any token while the database is away
(docs/cloudreve.md, Codes)."""

MAX_MESSAGE_CHARS = 200
"""How much of a refusal's wording is kept; Cloudreve's are a few words."""

_COUNTERS = frozenset({"visited", "downloaded", "remain_downloads"})
"""Of what is told of a share, this changes with each visit."""

_SHARE_URL = re.compile(rb'<meta property="og:url" content="([^"]+)">')

_CORRELATION_ID = re.compile(r"[A-Za-z0-9-]{1,64}")

_NOT_A_TOKEN_CODES = frozenset({401, 404, 40020, 40021})


@dataclass(frozen=True, slots=True)
class Link:
    """A thumbnail link as received."""

    url: str = field(repr=False)
    expires: float | None
    """Unix time in seconds on Cloudreve's clock; None when it set no end."""
    obfuscated: bool


class _Envelope(msgspec.Struct):
    code: int
    data: msgspec.Raw = msgspec.Raw(b"null")
    msg: object = None
    correlation_id: str | None = None


class _Data(msgspec.Struct):
    url: str
    expires: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    obfuscated: bool = False


class _Owner(msgspec.Struct):
    id: str


class _Share(msgspec.Struct):
    owner: _Owner


class _Userinfo(msgspec.Struct):
    sub: str | None = None
    code: int | None = None


def read_thumb(body: bytes) -> Link | Refusal | Generating:
    """Read the answer to a resolve; raise UpstreamError when it is not of the contract's shape."""
    envelope = read_answer(body, _Envelope)
    if envelope.code != 0:
        return _refusal(envelope)
    data = read_answer(envelope.data, _Data)
    if not data.url:  # OneDrive has no thumbnail for this file (docs/cloudreve.md, resolve)
        return Refusal(RefusalKind.NOT_FOUND, 0, "")
    return Link(data.url, data.expires.timestamp() if data.expires else None, data.obfuscated)


def read_whoami(body: bytes) -> str | None:
    """Read the answer to a whoami: the user's id, or None when the token is not accepted."""
    userinfo = read_answer(body, _Userinfo)
    if userinfo.code is None and userinfo.sub:
        return userinfo.sub
    if userinfo.code in _NOT_A_TOKEN_CODES:
        return None
    raise UpstreamError("Cloudreve's answer about the access token cannot be understood.")


def read_share_owner(body: bytes) -> str:
    """Read whose a share is; empty where there is no such share, or nobody is named."""
    envelope = read_answer(body, _Envelope)
    return read_answer(envelope.data, _Share).owner.id if envelope.code == 0 else ""


def read_share_terms(body: bytes) -> bytes:
    """Read all that is told of a share but what its visitors change, as a digest; a refusal is one of its code."""
    envelope = read_answer(body, _Envelope)
    told = read_answer(envelope.data, dict[str, msgspec.Raw]) if envelope.code == 0 else {}
    names = sorted(told.keys() - _COUNTERS)
    fields = (text for name in names for text in (name, bytes(told[name]).decode("utf-8", "replace")))
    return bytes.fromhex(digest(blake2b(digest_size=16, person=b"terms"), str(envelope.code), *fields))


def read_site_url(page: bytes) -> str:
    """Read the origin of the site URL out of the page that crawlers get for a share; empty where it is not told."""
    found = _SHARE_URL.search(page)
    try:
        return str(URL(unescape(found[1].decode())).origin()) if found else ""
    except ValueError:  # UnicodeDecodeError is one
        return ""


def read_data(body: bytes, shape: type[T]) -> T:
    """Read the data of any other answer; raise Refused with what Cloudreve says in its place."""
    envelope = read_answer(body, _Envelope)
    if envelope.code == 0:
        return read_answer(envelope.data, shape)
    refusal = _refusal(envelope)
    if isinstance(refusal, Generating):
        refusal = Refusal(RefusalKind.UNKNOWN, refusal.code, refusal.correlation_id)
    raise Refused(refusal)


def lacks_user(body: bytes) -> str | None:
    """Return the correlation id where Cloudreve found no active user behind a token; None for any other answer."""
    try:
        envelope = read_answer(body, _Envelope)
    except UpstreamError:
        return None
    return _printable(envelope.correlation_id or "") if (envelope.code, envelope.msg) == _NO_USER else None


def is_rejection(body: bytes) -> bool:
    """Tell whether JSON in place of a picture says that the image URL is no longer honoured."""
    try:
        return read_answer(body, _Envelope).code in GRANT_REJECTED_CODES
    except UpstreamError:
        return False


def told(body: bytes) -> tuple[int | None, str]:
    """Read code and correlation id out of JSON in place of a picture; none out of anything else."""
    try:
        envelope = read_answer(body, _Envelope)
    except UpstreamError:
        return None, ""
    return envelope.code, _printable(envelope.correlation_id or "")


def is_failure(body: bytes) -> bool:
    """Tell whether JSON in place of a picture says that the thumbnail could not be made."""
    try:
        return read_answer(body, _Envelope).code == FAILED_CODE
    except UpstreamError:
        return False


def _refusal(envelope: _Envelope) -> Refusal | Generating:
    correlation_id = _printable(envelope.correlation_id or "")
    if envelope.code in GENERATING_CODES:
        return Generating(envelope.code, correlation_id)
    kind = _KINDS.get(envelope.code, RefusalKind.UNKNOWN)
    message = envelope.msg[:MAX_MESSAGE_CHARS] if isinstance(envelope.msg, str) else ""
    return Refusal(kind, envelope.code, correlation_id, message)


def _printable(text: str) -> str:
    """Keep only what may stand in a log or an error: correlation ids are UUIDs."""
    return text if _CORRELATION_ID.fullmatch(text) else ""
