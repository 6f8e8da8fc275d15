"""The header fields of an answer, and the validators of a request (RFC 9110, 9111, 9211, 9457)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from math import inf

import msgspec

from proxy.domain.errors import InvalidToken, MethodNotAllowed, ProxyError, RangeNotSatisfiable
from proxy.domain.fields import Fields
from proxy.domain.identity import Identity
from proxy.domain.request_fields import Vary, vary
from proxy.domain.source import Source

CACHE_NAME = "thumb-proxy"
VARY_PUBLIC = vary(Vary.ALL)
"""For public answers: they do not depend on cookies, which would give each visitor a cache entry of their own."""
VARY = vary(Vary.ALL, Vary.PRIVATE)
"""For private answers: a browser must not show them to the next person who signs in there."""

INTERIM_S = 5.0
"""How long an original may be kept that is shown in the place of a variant."""
SAFETY: Fields = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'none'; sandbox"),
)
_FARTHEST_FIRST = (Source.STALE, Source.REDIS, Source.DISK, Source.MEMORY, Source.SEALED)
_PHRASES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "URI Too Long",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Range Not Satisfiable",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content",
}
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class Handling:
    """How the cache served one request: where grant and picture came from, and whether it waited for another."""

    grant: Source
    picture: Source | None
    """None where the answer needed no picture (304)."""
    collapsed: bool = False
    asks_again: bool = False
    """Whether the browser has to revalidate every time, and nobody else may store it: where a cookie decides whose
    picture it is, or its absence does, since a browser's memory cache ignores `Vary: Cookie` (Chromium 156 went on
    showing pictures after the session had ended, until a reload)."""

    is_interim: bool = False
    """Whether the original is shown because the variant is still being encoded: nobody may keep it for long."""
    browser_s: float = inf
    """How long the visitor's browser may keep it at most: those who change files are to see that they have."""

    @property
    def is_hit(self) -> bool:
        """A hit needed no call to upstream of any kind."""
        return Source.UPSTREAM not in (self.grant, self.picture)


def picture_fields(identity: Identity, etag: str | None, remaining_s: float, handling: Handling) -> Fields:
    """Make the fields of 200 and 304 alike; `remaining_s`: the seconds left of the grant."""
    kept_s = min(remaining_s, handling.browser_s)
    max_age_s = max(int(min(kept_s, INTERIM_S) if handling.is_interim else kept_s), 0)
    is_public = identity.is_public and not handling.asks_again
    keeping = "no-cache" if handling.asks_again else f"max-age={max_age_s}"
    caching = f"{'public' if is_public else 'private'}, {keeping}"
    is_fixed = handling.grant is Source.SEALED and not handling.is_interim
    fields: Fields = (
        *_storing(caching, VARY_PUBLIC if is_public else VARY, is_fixed=is_fixed),
        ("Cache-Status", cache_status(handling, int(remaining_s))),
        # A page of another site may show what an anonymous visitor may see, and nothing else.
        ("Cross-Origin-Resource-Policy", "cross-origin" if identity.is_public else "same-site"),
        *SAFETY,
    )
    return (("ETag", etag), *fields) if etag else fields


def joined(*parts: Fields) -> Fields:
    """Join fields: a later one replaces an earlier one of its name, `Vary` is added to.

    Two lines of `Vary` mean the same as one (RFC 9110 §5.3), but nginx keeps the last one only.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, value in (field for part in parts for field in part):
        key = name.lower()
        before = f"{found[key][1]}, " if key == "vary" and key in found else ""
        found[key] = (name, _each_once(before + value) if key == "vary" else value)
    return tuple(found.values())


def _each_once(names: str) -> str:
    return ", ".join({name.strip().lower(): name.strip() for name in names.split(",")}.values())


def _storing(caching: str, vary: str, *, is_fixed: bool) -> Fields:
    """Say which caches may store it. Behind a sealed URL nothing changes while it lives, whatever the request says."""
    if is_fixed:
        return (("Cache-Control", f"{caching}, immutable"),)
    return (("Cache-Control", caching), ("Vary", vary))


def cache_status(handling: Handling, ttl_s: int) -> str:
    """Say how the answer came about (RFC 9211 §2); `detail` names the tier, or what of a miss was still at hand.

    A negative `ttl` says that the grant had run out, and was honoured because Cloudreve could not be asked.
    """
    if handling.is_hit:
        sources = (handling.grant, handling.picture)
        farthest = next(source for source in _FARTHEST_FIRST if source in sources)
        return f"{CACHE_NAME}; hit; ttl={ttl_s}; detail={farthest}"
    parts = [CACHE_NAME, "fwd=miss", f"ttl={ttl_s}"]
    if handling.collapsed:
        parts.append("collapsed")
    if handling.picture is not Source.UPSTREAM:
        parts.append("detail=picture-reused")
    return "; ".join(parts)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Compare weakly (RFC 9110 §13.1.2): whether the client has this very picture already."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _ENTITY_TAG.findall(if_none_match)


def problem_fields(error: ProxyError) -> Fields:
    """Make the fields of an error; errors are never stored by anybody."""
    fields: Fields = (
        ("Content-Type", "application/problem+json"),
        ("Cache-Control", "no-store"),
        ("Vary", f"{VARY}, Accept"),  # a person's browser gets a page
        *SAFETY,
    )
    if error.retry_after_s is not None:
        fields += (("Retry-After", str(error.retry_after_s)),)
    if isinstance(error, MethodNotAllowed):
        fields += (("Allow", error.allowed),)
    if isinstance(error, RangeNotSatisfiable):
        fields += (("Content-Range", f"bytes */{error.length}"),)
    if error.status == 401:  # noqa: PLR2004 - RFC 9110 §15.5.2: a 401 names the scheme
        cause = ', error="invalid_token"' if isinstance(error, InvalidToken) else ""
        fields += (("WWW-Authenticate", f'Bearer realm="cloudreve"{cause}'),)
    return fields


def phrase(status: HTTPStatus) -> str:
    """Give a status' phrase as RFC 9110 has it; Python's is older in places."""
    return _PHRASES.get(status, status.phrase)


def problem(error: ProxyError, request_id: str = "") -> bytes:
    """Make the body of an error (RFC 9457), with Cloudreve's code and correlation id where it gave them.

    The title of `about:blank` is the status' own phrase (§4.2.1); `detail` says what was the matter.
    """
    members: dict[str, str | int] = {"type": "about:blank", "title": phrase(error.status), "status": int(error.status)}
    members["detail"] = error.detail or f"{error.title}."
    if error.code is not None:
        members["code"] = error.code
    if error.correlation_id:
        members["correlation_id"] = error.correlation_id
    if request_id:
        members["request_id"] = request_id
    return msgspec.json.encode(members)
