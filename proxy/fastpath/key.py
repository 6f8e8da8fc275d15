"""The meaning of a request: all of it that can change its answer, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from weakref import WeakValueDictionary

from proxy.domain.host import HOST
from proxy.fastpath.head import FieldReader, KeyFields, Value
from proxy.fastpath.meaning import (
    API_TARGET,
    SEALED_TARGET,
    THUMB_TARGET,
    UNUSUAL,
    Circumstances,
    Meaning,
    Meanings,
    Said,
)
from proxy.fastpath.recent_lines import RecentLines
from proxy.http.api import PATH as API_PATH
from proxy.http.embedding_rule import OWN_SITE, page_of
from proxy.http.request_origin import FORWARDED, RequestOrigin
from proxy.http.sealed_urls import PREFIX
from proxy.http.variant_rules import negotiated
from proxy.sessions.cookie_syntax import read_cookie
from proxy.sessions.cookies import SessionCookies
from proxy.sessions.session import may_use_cookie
from proxy.settings import Settings

MAX_HEAD_BYTES = 8192
"""Longer heads go the long way."""
CIRCUMSTANCES = 4096
"""So many combinations of host, page and accepted formats are remembered as they were judged."""
LINES_BYTES = 16 * 1024 * 1024
"""So much of the lines of browsers is remembered."""
SHORT_BYTES = 2048
"""Longer ones are read each time."""

_VERSION = b" HTTP/1.1"
_THUMB, _SEALED, _OF_API = b"/thumb", PREFIX.encode(), API_PATH.encode()
_METHODS = (b"GET ", b"HEAD ")
_BEGINNINGS = tuple(method + path for method in _METHODS for path in (_THUMB, _OF_API))
_OWN_SITE = frozenset(site.encode() for site in OWN_SITE)
_WEB = (b"http://", b"https://")
_SCHEME = b"bearer"


class Key(NamedTuple):
    """Names a finished answer. Requests with equal keys have equal answers."""

    line: bytes
    """The request line."""
    meaning: Meaning

    @property
    def target(self) -> bytes:
        """Give the target of the request."""
        return self.line[self.line.index(b" ") + 1 : -len(_VERSION)]

    @property
    def is_sealed(self) -> bool:
        """Tell whether it names a sealed URL, at which credentials do not count."""
        return self.meaning.said.target_kind == SEALED_TARGET

    @property
    def size_bytes(self) -> int:
        """Estimate what its texts take."""
        said = self.meaning.said
        texts = (self.line, said.bearer, said.cookie, *said.exact)
        return sum(len(text) for text in texts if text is not None)


class PendingRequest(NamedTuple):
    """The one request that a connection is answering."""

    key: Key
    epoch: int
    """Of the fast path, when it came."""
    deletions: int
    """How many deletions the tiers had counted by then."""


class Keys:
    """Makes the keys of requests.

    A browser sends the same lines with every picture of a page: their meaning is found out once, and remembered.
    """

    def __init__(self, request_origin: RequestOrigin, cookies: SessionCookies, settings: Settings) -> None:
        self._request_origin = request_origin
        self._cookies = cookies
        self._formats = settings.pictures.formats
        self._is_on = settings.server.fast_path
        self.max_bytes = min(MAX_HEAD_BYTES, settings.server.max_header_bytes)
        """Longer heads go the long way."""
        self.known: tuple[RecentLines[Meanings], RecentLines[Meanings]] = (
            RecentLines(LINES_BYTES),
            RecentLines(LINES_BYTES),
        )
        """The meanings of lines, by whether a trusted proxy sends them."""
        self._reader = FieldReader()
        self._judged = lru_cache(CIRCUMSTANCES)(self._judge)
        self._ones: WeakValueDictionary[Said, Meaning] = WeakValueDictionary()

    def key(self, data: bytes, *, is_trusted: bool) -> Key | None:
        """Read a request; None where it has to go the long way. `is_trusted`: its sender is a trusted proxy.

        Its target is not looked at: a finished answer has one that aiohttp has read.
        """
        if not data.startswith(_BEGINNINGS) or not self._is_on or len(data) > self.max_bytes:
            return None
        line, _, lines = data.partition(b"\r\n")
        if not line.endswith(_VERSION):
            return None
        meaning = self._meanings(lines, is_trusted=is_trusted)[_target_kind(line)]
        return Key(line, meaning) if meaning is not None else None

    def _meanings(self, lines: bytes, *, is_trusted: bool) -> Meanings:
        known = self.known[is_trusted]
        meanings = known.get(lines)
        if meanings is None:
            meanings = self._read(lines, is_trusted=is_trusted)
            if len(lines) <= SHORT_BYTES:
                known.set(lines, meanings)
        return meanings

    def _read(self, data: bytes, *, is_trusted: bool) -> Meanings:
        """Tell what lines mean. To sealed URLs credentials do not count.

        To the API cookies do not count, and what a script of another origin is told may change with Cloudreve's
        settings.
        """
        lines = self._reader.read(data)
        circumstances = self._circumstances(lines, is_trusted=is_trusted) if lines is not None else None
        if lines is None or circumstances is None:
            return UNUSUAL
        authorization, cookies, *_ = lines.decisive
        cookie, name = None, circumstances.cookie_name
        if cookies is not None and name is not None:
            text = cookies.decode("utf-8", "surrogateescape")
            cookie = read_cookie((text,), name) if name in text else None
        bearer, is_own = _bearer(authorization), circumstances.origin in (None, circumstances.own_origin)
        full = self._one(Said(THUMB_TARGET, circumstances, lines.exact, bearer, cookie))
        bare = self._one(Said(SEALED_TARGET, circumstances, lines.exact))
        return full, bare, self._one(Said(API_TARGET, circumstances, lines.exact, bearer)) if is_own else None

    def _one(self, said: Said) -> Meaning:
        """Give the one meaning of all lines that say this."""
        meaning = self._ones.get(said)
        if meaning is None:
            meaning = self._ones[said] = Meaning(said)
        return meaning

    def _circumstances(self, lines: KeyFields, *, is_trusted: bool) -> Circumstances | None:
        _, _, accept, origin, site, referer, host, *forwarded = lines.decisive
        said = _said(forwarded) if is_trusted else ()
        if said is None:
            return None
        if referer is not None:
            referer = None if origin is not None or site in _OWN_SITE else _without_path(referer)
        return self._judged(accept if self._formats else None, origin, site, referer, host, said)

    def _judge(
        self,
        accept: Value,
        origin: Value,
        site: Value,
        referer: Value,
        host: Value,
        forwarded: tuple[Value, ...],
    ) -> Circumstances | None:
        if host is None or not HOST.fullmatch(host.strip(b" \t")):
            return None
        headers = {
            name: text
            for name, value in (("Origin", origin), ("Sec-Fetch-Site", site), ("Referer", referer))
            if (text := _text(value)) is not None
        }
        base = self._request_origin.origin_by(_text(host) or "", _lines(forwarded))
        own_origin = base or f"http://{_text(host)}"
        return Circumstances(
            format=negotiated((_text(accept) or "",), self._formats),
            page=page_of(headers, own_origin),
            origin=headers.get("Origin"),
            own_origin=own_origin,
            base=base,
            cookie_name=self._cookies.session_name(own_origin) if may_use_cookie(headers) else None,
        )


def _target_kind(line: bytes) -> int:
    """Tell for which kind of target header lines are to be read."""
    target = line[line.index(b" ") + 1 :]
    return SEALED_TARGET if target.startswith(_SEALED) else API_TARGET if target.startswith(_OF_API) else THUMB_TARGET


def _text(value: Value) -> str | None:
    """Decode a value as aiohttp does."""
    return value.strip(b" \t").decode("utf-8", "surrogateescape") if value is not None else None


def _bearer(authorization: Value) -> Value:
    """Give what may be a bearer token; other schemes are not looked at (`http.thumb_request.bearer`)."""
    if authorization is None or authorization[:6].lower() == _SCHEME or not authorization[:1].isalpha():
        return authorization
    return None


def _without_path(referer: bytes) -> bytes:
    """Cut a page's address behind its host: a page is judged by its origin."""
    end = referer.find(b"/", 8) if referer.startswith(_WEB) else -1
    return referer if end < 0 else referer[:end]


def _said(forwarded: list[Value]) -> tuple[Value, ...] | None:
    """Give what decides about scheme and host of what a trusted proxy says; None where that takes a longer look.

    One value of these holds for every hop: whichever of them are trusted, the outcome is the same, and their addresses
    do not count. Where X-Forwarded-* and `Forwarded` are both there, it depends on addresses whether they agree.
    """
    addresses, scheme, host, standard = forwarded
    if standard is not None:
        return (None, None, None, standard) if addresses is scheme is host is None else None
    is_one = (scheme is None or b"," not in scheme) and (host is None or b"," not in host)
    return (None if is_one else addresses, scheme, host, None)


def _lines(forwarded: Sequence[Value]) -> dict[str, str]:
    lines = zip(FORWARDED, forwarded, strict=False)
    return {name: text for name, value in lines if (text := _text(value)) is not None}
