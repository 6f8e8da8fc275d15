"""Which pages of other sites may show a picture, and which scripts may read it (Fetch Metadata, CORS, CORP)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.domain.response_fields import Fields

ANY = "*"
VARY = "Origin, Sec-Fetch-Site, Referer"
"""What tells one page from another: a shared cache must not hand to one what was said to another."""
OWN_SITE = frozenset({"same-origin", "same-site", "none"})
"""Values of `Sec-Fetch-Site`: a request from a page of this site, or from the visitor's own hand."""
_UNKNOWN = "null"


@dataclass(frozen=True, slots=True)
class Embedding:
    """The configuration's allow-lists, of origins such as https://blog.example.com."""

    private_origins: Collection[str]
    public_origins: Collection[str]

    def allows(self, headers: Mapping[str, str], own_origin: str, *, is_public: bool) -> bool:
        """Tell whether the page that a request comes from may show the picture."""
        allowed = self._allowed(is_public=is_public)
        if ANY in allowed:
            return True
        page = page_of(headers, own_origin)
        return page is None or page in allowed

    def fields(self, headers: Mapping[str, str], *, is_public: bool) -> Fields:
        """Make the fields that tell browsers the same: who may embed it, and whose scripts may read it.

        What everybody may have is the same for everybody, so that shared caches need not tell pages apart.
        """
        allowed = self._allowed(is_public=is_public)
        if ANY in allowed:
            return (("Cross-Origin-Resource-Policy", "cross-origin"), ("Access-Control-Allow-Origin", ANY))
        fields: Fields = (("Cross-Origin-Resource-Policy", "cross-origin" if allowed else "same-site"),)
        if allowed or is_public:
            fields += (("Vary", VARY),)
        origin = headers.get("Origin", "")
        if origin in allowed:
            fields += (("Access-Control-Allow-Origin", origin),)
            if not is_public:
                fields += (("Access-Control-Allow-Credentials", "true"),)
        return fields

    def _allowed(self, *, is_public: bool) -> Collection[str]:
        return self.public_origins if is_public else self.private_origins


def page_of(headers: Mapping[str, str], own_origin: str) -> str | None:
    """Name the origin of the other site's page that a request comes from; None when it comes from none.

    The browser's own word counts first (`Sec-Fetch-Site`, which no page can set), then `Origin`, then `Referer`. A page
    of another site that hides its name is "null", which no list holds.
    """
    site = headers.get("Sec-Fetch-Site")
    if site in OWN_SITE:
        return None
    named = _named(headers)
    if site is None and (named is None or named == own_origin):
        return None  # no browser's, or an old one's from our own pages
    return named or _UNKNOWN


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
