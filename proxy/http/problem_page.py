"""An error as a small page, for a person whose browser asks for HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from proxy.domain.errors import ProxyError
from proxy.domain.response_fields import Fields, phrase

FIELDS: Fields = (
    ("Content-Type", "text/html; charset=utf-8"),
    # Without `sandbox`: the origin of a sandboxed page is opaque, so that its link would come from another site.
    ("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
)
_JSON = ("application/problem+json", "application/json")


@dataclass(frozen=True, slots=True)
class Link:
    """Where a person may go on from an error."""

    href: str
    text: str


def prefers_page(accept: Sequence[str]) -> bool:
    """Tell whether the lines of `Accept` name `text/html`, and JSON not before it (RFC 9110 §12.5.1)."""
    weights = dict(_weights(",".join(accept)))
    html = weights.get("text/html", 0.0)
    return html > 0 and html >= max(weights.get(name, 0.0) for name in _JSON)


def page(error: ProxyError, link: Link | None = None, request_id: str = "") -> bytes:
    """Write the page: what problem+json says, and a link where there is a way on."""
    title = escape(f"{int(error.status)} {phrase(error.status)}")
    way_on = f'<p><a href="{escape(link.href)}">{escape(link.text)}</a></p>\n' if link else ""
    named = f"<p><small>Request {escape(request_id)}</small></p>\n" if request_id else ""
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{title}</title>\n'
        f"<h1>{title}</h1>\n<p>{escape(error.detail or error.title)}</p>\n{way_on}{named}</html>\n"
    ).encode()


def _weights(accept: str) -> Iterator[tuple[str, float]]:
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        try:
            yield name, float(quality)
        except ValueError:
            yield name, 0.0
