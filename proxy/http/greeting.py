"""The answer to a visit of `/` where the gateway serves thumbnails alone."""

from __future__ import annotations

from html import escape

from aiohttp import web

from proxy.http.page_texts import Language, language_of
from proxy.http.problem_page import FIELDS, html, prefers_page

TEXT = """\
thumb-proxy: a cache of thumbnails in front of a Cloudreve.
Pictures are at /thumb?uri=cloudreve://..., whether this process may take traffic at /readyz.
"""
_TEXTS = {
    Language.ENGLISH: (
        "Thumbnails of a Cloudreve",
        "This address serves thumbnails to other pages:",
        "Go on to Cloudreve",
    ),
    Language.CHINESE: ("Cloudreve 的缩略图", "这个地址为其他网页提供缩略图：", "前往 Cloudreve"),
}


class Greeting:
    """Answers `GET /`: a small page for a person, two lines for a program."""

    def __init__(self, site: str | None) -> None:
        self._pages = {language: _page(language, site) for language in Language}

    def routes(self) -> list[web.RouteDef]:
        """Make the route."""
        return [web.get("/", self._greet)]

    async def _greet(self, request: web.Request) -> web.Response:
        fields = {"Cache-Control": "no-store", "Vary": "Accept, Accept-Language"}
        if prefers_page(request.headers.getall("Accept", ())):
            language = language_of(request.headers.getall("Accept-Language", ()))
            return web.Response(text=self._pages[language], headers=fields | dict(FIELDS))
        return web.Response(text=TEXT, headers=fields)


def _page(language: Language, site: str | None) -> str:
    heading, body, go_on = _TEXTS[language]
    way_on = f'<p><a href="{escape(site)}/">{go_on}</a></p>\n' if site else ""
    return html(language, heading, f"{body} <code>/thumb?uri=cloudreve://...</code>", way_on)
