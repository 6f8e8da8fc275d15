"""Which pages of other sites may show a picture, and which scripts may read it (Fetch Metadata, CORS, CORP)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.domain.fields import Fields
from proxy.domain.request_fields import Vary, vary
from proxy.settings import EmbedSettings, SessionSettings

ANY = "*"
VARY = vary(Vary.PAGE)
"""What tells one page from another: a shared cache must not hand to one what was said to another."""
OWN_SITE = frozenset({"same-origin", "same-site", "none"})
"""Values of `Sec-Fetch-Site`: a request from a page of this site, or from the visitor's own hand."""
_UNKNOWN = "null"
_ORIGIN = re.compile(r"https?://[a-z0-9._:\[\]-]{1,255}")
_IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}")


@dataclass(frozen=True, slots=True)
class Embedding:
    """The configuration's allow-lists, of origins such as https://blog.example.com."""

    private_origins: Collection[str]
    public_origins: Collection[str]

    def refusal(self, headers: Mapping[str, str], own_origin: str, *, is_public: bool) -> str | None:
        """Say why the page that a request comes from may not show the picture; None where it may."""
        allowed = self._allowed(is_public=is_public)
        if ANY in allowed:
            return None
        page = page_of(headers, own_origin)
        if page is None or page in allowed:
            return None
        setting = "embed.public_origins" if is_public else "embed.private_origins"
        if not _ORIGIN.fullmatch(page):
            return f"Only the site's own pages and those of {setting} may show this; the asking page hides its origin."
        return f"Only the site's own pages and those of {setting} may show this; {page} is not among them."

    def fields(self, headers: Mapping[str, str], own_origin: str, *, is_public: bool) -> Fields:
        """Make the fields that tell browsers the same: who may embed it, and whose scripts may read it.

        What everybody may have is the same for everybody without credentials, so that shared caches need not tell
        pages apart.
        """
        allowed = self._allowed(is_public=is_public)
        is_open = ANY in allowed or is_address(own_origin) or page_of(headers, own_origin) in allowed
        policy = ("Cross-Origin-Resource-Policy", "cross-origin" if is_open else "same-site")
        if ANY in allowed:
            varying: Fields = (("Vary", "Origin"),) if self.private_origins else ()
        else:
            varying = (("Vary", VARY),) if allowed or is_public else ()
        return (policy, *varying, *self.reading(headers, is_public=is_public))

    def reading(self, headers: Mapping[str, str], *, is_public: bool) -> Fields:
        """Make the fields that let the asking script read an answer (CORS); none where it may not."""
        origin, allowed = headers.get("Origin", ""), self._allowed(is_public=is_public)
        if origin in self.private_origins:
            return (("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true"))
        if ANY in allowed:
            return (("Access-Control-Allow-Origin", ANY),)
        return (("Access-Control-Allow-Origin", origin),) if origin in allowed else ()

    def opened_to(self, origin: str) -> Embedding:
        """Give the rule with one more origin on its lists."""
        return Embedding(frozenset({*self.private_origins, origin}), frozenset({*self.public_origins, origin}))

    def _allowed(self, *, is_public: bool) -> Collection[str]:
        return self.public_origins if is_public else self.private_origins


def embedding(embed: EmbedSettings, session: SessionSettings) -> Embedding:
    """Make the rule: pages that may begin sessions may also show what those open."""
    private = frozenset((*embed.private_origins, *session.origins))
    return Embedding(private, frozenset(embed.public_origins) | private)


def page_of(headers: Mapping[str, str], own_origin: str) -> str | None:
    """Name the origin of the other site's page that a request comes from; None when it comes from none.

    The browser's own word counts first (`Sec-Fetch-Site`, which no page can set), then `Origin`, then `Referer`. A page
    of another site that hides its name is "null", which no list holds. On plain http browsers send no `Sec-Fetch-Site`:
    there the same scheme and host are the same site, whatever the port (HTML Standard, "same site").
    """
    site = headers.get("Sec-Fetch-Site")
    if site in OWN_SITE:
        return None
    named = _named(headers)
    if site is None and (named is None or _host_of(named) == _host_of(own_origin)):
        return None  # no browser's, or an old one's from our own pages
    return named or _UNKNOWN


def is_address(origin: str) -> bool:
    """Tell whether an origin's host is an IP address.

    Between two ports of one Chromium blocks `Cross-Origin-Resource-Policy: same-site` (Chromium 156), although it calls
    them the same site. There `cross-origin` has to be said, and which page may show a picture is decided here alone.
    """
    host = _host_of(origin)[1]
    return ":" in host or _IPV4.fullmatch(host) is not None


def _host_of(origin: str) -> tuple[str, str]:
    """Give scheme and host of an origin, without its port."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return "", ""
    return parts.scheme, parts.hostname or ""


def wants_picture(headers: Mapping[str, str]) -> bool:
    """Tell whether a request is an `<img>`'s or the like, which shows pictures and no text."""
    destination = headers.get("Sec-Fetch-Dest")
    if destination is not None:
        return destination == "image"
    return headers.get("Accept", "").startswith("image/")


def _named(headers: Mapping[str, str]) -> str | None:
    if "Origin" in headers:
        return headers["Origin"]
    try:
        page = urlsplit(headers.get("Referer", ""))
    except ValueError:
        return _UNKNOWN
    return f"{page.scheme}://{page.netloc.rpartition('@')[2]}".lower() if page.netloc else None
