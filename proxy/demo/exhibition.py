"""The exhibits of the demo: a gallery, the page around it, and how often Cloudreve was asked for it."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

from proxy.standin.site import Site

PICTURES = 40
VISITOR_LIFE_S = 7 * 86400.0
_PAGE_POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; connect-src 'self' {cloudreve}; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


class Exhibition:
    """A public gallery that no thumbnails exist for, and the routes through which its page learns of it."""

    def __init__(self, site: Site, cloudreve_url: str, *, with_redis: bool, pictures: int = PICTURES) -> None:
        self._site = site
        self._cloudreve_url = cloudreve_url
        self._with_redis = with_redis
        self._pictures = pictures
        _, self.uris = site.library.gallery(pictures)

    def routes(self) -> list[web.RouteDef]:
        """Give what is served beside the gateway's own routes."""
        return [
            web.get("/", self._page),
            web.get("/demo/state", self._state),
            web.post("/demo/gallery", self._renew),
        ]

    async def _page(self, _: web.Request) -> web.Response:
        page = files("proxy.demo").joinpath("page.html").read_text(encoding="utf-8")
        policy = _PAGE_POLICY.format(cloudreve=self._cloudreve_url)
        headers = {"Cache-Control": "no-store", "Content-Security-Policy": policy}
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def _state(self, _: web.Request) -> web.Response:
        """Tell what hangs here, how often Cloudreve was asked so far, and the second visitor's token."""
        calls = self._site.calls
        state = {
            "pictures": self.uris,
            "resolves": calls.count("resolve"),
            "fetches": calls.count("fetch"),
            "redis": self._with_redis,
            "cloudreve": self._cloudreve_url,
            "visitor": self._site.token("bob", life_s=VISITOR_LIFE_S),
        }
        return web.json_response(state, headers={"Cache-Control": "no-store"})

    async def _renew(self, request: web.Request) -> web.Response:
        """Hang other pictures, which nobody has seen, and count from nothing."""
        _, self.uris = self._site.library.gallery(self._pictures)
        self._site.calls.forget()
        return await self._state(request)
