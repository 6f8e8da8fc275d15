"""An error as a small page, for a person whose browser asks for HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from proxy.domain.errors import ProxyError
from proxy.domain.fields import Fields
from proxy.http.page_texts import Language, WayOn, request_text, text_of, way_on, way_text, weights

FIELDS: Fields = (
    ("Content-Type", "text/html; charset=utf-8"),
    # Without `sandbox`: the origin of a sandboxed page is opaque, so that its link would come from another site.
    ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
)
_JSON = ("application/problem+json", "application/json")


_PAGE = """\
<!doctype html>
<html lang="{language}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{heading}</title>
<h1>{heading}</h1>
<p>{body}</p>
{more}</html>
"""


@dataclass(frozen=True, slots=True)
class Link:
    """Where a person may go on from an error."""

    href: str
    way: WayOn


def prefers_page(accept: Sequence[str]) -> bool:
    """Tell whether the lines of `Accept` name `text/html`, and JSON not before it (RFC 9110 §12.5.1)."""
    named = dict(weights(",".join(accept)))
    html = named.get("text/html", 0.0)
    return html > 0 and html >= max(named.get(name, 0.0) for name in _JSON)


def page(
    error: ProxyError, link: Link | None = None, request_id: str = "", language: Language = Language.ENGLISH
) -> bytes:
    """Write the page: what has happened, a link where there is a way on, and how the log names the request."""
    text, link = text_of(error, language), link or _link(error)
    more = ""
    if link is not None:
        more += f'<p><a href="{escape(link.href)}">{escape(way_text(link.way, language))}</a></p>\n'
    if language is not Language.ENGLISH:
        more += f'<p lang="en"><small>{escape(error.detail or error.title)}</small></p>\n'
    if request_id:
        more += f"<p><small>{escape(request_text(request_id, language))}</small></p>\n"
    return html(language, escape(text.heading), escape(text.body), more).encode()


def html(language: Language, heading: str, body: str, more: str) -> str:
    """Write a small page of texts that are HTML already."""
    return _PAGE.format(language=language, heading=heading, body=body, more=more)


def _link(error: ProxyError) -> Link | None:
    """Give the way on from an error that names no other: the same page again, or the site's first."""
    way = way_on(error)
    return Link("/" if way is WayOn.HOME else "", way) if way else None
