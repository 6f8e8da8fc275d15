"""The same pictures at the gateway and at nginx, or at another cache in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.cookies import SimpleCookie

import msgspec

from deploy.benchmarks.contest import Side
from deploy.benchmarks.exhibits import Reply
from deploy.benchmarks.stage import Server, Stage, WrongAnswerError

COOKIE = "thumb_session"
_TIMES = 3
"""After so many requests the gateway knows an answer."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The gateway and what it is held against."""

    here: Side
    there: Side

    def private(self, headers: Mapping[str, str], folder: str = "private") -> Pair:
        """Ask for the same pictures as their owner; nginx has them in a folder that it guards."""
        here = replace(self.here, paths=[exhibit.private for exhibit in self.here.exhibits], headers=headers)
        paths = [path.replace("/plain/", f"/{folder}/") for path in self.there.paths]
        return Pair(here, replace(self.there, paths=paths, headers=headers))

    def with_cookie(self, cookie: str) -> Pair:
        """Have answers compared with a cookie; the load's browsers send it among others."""
        seen = {"Cookie": cookie}
        return Pair(replace(self.here, credentials=seen), replace(self.there, credentials=seen))


@dataclass(frozen=True, slots=True)
class Sides:
    """Hangs pictures, and tells how both are asked for them."""

    stage: Stage
    gateway: Server
    nginx: Server

    @property
    def bearer(self) -> dict[str, str]:
        """Give the credentials of the pictures' owner."""
        return {"Authorization": f"Bearer {self.stage.token}"}

    async def public(self, size_kb: int, count: int = 1) -> Pair:
        """Have pictures that anybody may see."""
        share, exhibits = await self.stage.hang(f"hot-{size_kb}-{count}", count, size_kb * 1000)
        here = Side(self.gateway, [exhibit.public(share) for exhibit in exhibits], exhibits)
        return Pair(here, Side(self.nginx, [exhibit.plain for exhibit in exhibits], exhibits))

    async def known(self, pair: Pair) -> Pair:
        """Be asked by somebody who has the first picture already."""
        return Pair(await self._known(pair.here), await self._known(pair.there))

    async def sealed(self, pair: Pair) -> Pair:
        """Ask the gateway for the same pictures by sealed URLs."""
        urls = [msgspec.json.decode(await self._asked(path))["data"]["url"] for path in _api(pair)]
        return Pair(replace(pair.here, paths=[url[url.index("/thumb/s/") :] for url in urls]), pair.there)

    async def api(self, pair: Pair) -> Pair:
        """Ask the gateway for sealed URLs of the same pictures, as Cloudreve's page does."""
        paths = _api(pair)
        replies = [[await self._asked(path) for _ in range(_TIMES)][-1] for path in paths]
        return Pair(replace(pair.here, paths=paths, exhibits=[Reply(reply) for reply in replies]), pair.there)

    async def cookie(self) -> str:
        """Sign in at the gateway; give the cookie as a browser sends it."""
        headers = {**self.bearer, "Sec-Fetch-Site": "same-origin"}
        async with self.stage.session.post(f"{self.gateway.url}/session", headers=headers) as response:
            cookies = SimpleCookie(response.headers.get("Set-Cookie", ""))
        if COOKIE not in cookies:
            raise WrongAnswerError(f"/session: {response.status}, no cookie")
        return f"{COOKIE}={cookies[COOKIE].value}"

    async def _known(self, side: Side) -> Side:
        async with self.stage.session.get(side.server.url + side.paths[0], headers=side.headers) as response:
            etag = response.headers["ETag"]
        return replace(side, headers={**side.headers, "If-None-Match": etag}, status=304)

    async def _asked(self, path: str) -> bytes:
        async with self.stage.session.get(self.gateway.url + path) as response:
            return await response.read()


def _api(pair: Pair) -> list[str]:
    return [path.replace("/thumb?", "/api/v4/file/thumb?") for path in pair.here.paths]
