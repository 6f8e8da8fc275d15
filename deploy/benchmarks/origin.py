"""A process of its own: the stand-in Cloudreve with the exhibits, and beside it the same bodies as nginx fetches them.

Its standard input closing ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop
from aiohttp import web

from deploy.benchmarks.exhibits import Exhibit
from proxy.standin.standin import StandIn

TOKEN_LIFE_S = 7 * 86400.0


class Origin:
    """What is asked of it beside pictures: to hang some, and how often it was asked."""

    def __init__(self, cloudreve: StandIn) -> None:
        self._cloudreve = cloudreve
        self._token = cloudreve.token("alice", life_s=TOKEN_LIFE_S)

    def routes(self) -> list[web.RouteDef]:
        """Give the routes of the second port."""
        return [
            web.get("/plain/{folder}/{number}.png", self._plain),
            web.get("/auth", self._auth),
            web.post("/hang/{folder}", self._hang),
            web.get("/calls", self._calls),
            web.post("/generation/{seconds}", self._generation),
        ]

    @property
    def greeting(self) -> dict[str, str]:
        """Tell what others need to know."""
        return {"cloudreve": self._cloudreve.own_url, "token": self._token}

    async def _plain(self, request: web.Request) -> web.Response:
        number, size_bytes = int(request.match_info["number"]), int(request.query["size"])
        body = Exhibit(request.match_info["folder"], number, size_bytes).body
        headers = {"Cache-Control": "max-age=86400", "ETag": f'"{number}-{size_bytes}"', "Content-Type": "image/png"}
        return web.Response(body=body, headers=headers)

    async def _auth(self, request: web.Request) -> web.Response:
        is_known = request.headers.get("Authorization") == f"Bearer {self._token}" or "thumb_session" in request.cookies
        return web.Response(status=204 if is_known else 401, headers={"Cache-Control": "max-age=300"})

    async def _hang(self, request: web.Request) -> web.Response:
        """Put pictures into a folder, share it, and give the share's id."""
        folder, library = request.match_info["folder"], self._cloudreve.library
        for number in range(int(request.query["count"])):
            exhibit = Exhibit(folder, number, int(request.query["size"]))
            file = library.put(library.alice, exhibit.path)
            file.draw = lambda exhibit=exhibit: exhibit.body  # drawn when asked for: ten thousand are many
        return web.json_response(library.publish(library.alice, f"/{folder}").id)

    async def _calls(self, _: web.Request) -> web.Response:
        """Count the calls since this was last asked."""
        calls = self._cloudreve.calls
        counted = {verb: calls.count(verb, code=0) for verb in ("resolve", "fetch", "whoami")}
        calls.forget()
        return web.json_response(counted)

    async def _generation(self, request: web.Request) -> web.Response:
        self._cloudreve.generator.seconds = float(request.match_info["seconds"])
        return web.Response()


async def main() -> None:
    """Serve until standard input ends; the first line of standard output says where."""
    async with StandIn(size=(8, 8)) as cloudreve:
        origin = Origin(cloudreve)
        app = web.Application()
        app.add_routes(origin.routes())
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        told = origin.greeting | {"bodies": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        print(json.dumps(told), flush=True)  # noqa: T201 - to the process that has started this one
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main())
