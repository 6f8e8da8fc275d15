"""What the gateway says to a visit of `/` where it serves thumbnails alone."""

from __future__ import annotations

from html import escape

from aiohttp import web

from proxy.http.problem_page import FIELDS, prefers_page

TEXT = """\
thumb-proxy: a cache of thumbnails in front of a Cloudreve.
Pictures are at /thumb?uri=cloudreve://..., whether this process may take traffic at /readyz.
"""
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Thumbnails of a Cloudreve</title>
<h1>Thumbnails of a Cloudreve</h1>
<p>This address serves thumbnails to other pages, as <code>/thumb?uri=cloudreve://...</code>.</p>
{way_on}</html>
"""


class Greeting:
    """Answers `GET /`: a small page for a person, two lines for a program."""

    def __init__(self, site: str | None) -> None:
        way_on = f'<p><a href="{escape(site)}/">Go on to Cloudreve</a></p>\n' if site else ""
        self._page = _PAGE.format(way_on=way_on)

    def routes(self) -> list[web.RouteDef]:
        """Make the route."""
        return [web.get("/", self._greet)]

    async def _greet(self, request: web.Request) -> web.Response:
        fields = {"Cache-Control": "no-store", "Vary": "Accept"}
        if prefers_page(request.headers.getall("Accept", ())):
            return web.Response(text=self._page, headers=fields | dict(FIELDS))
        return web.Response(text=TEXT, headers=fields)
