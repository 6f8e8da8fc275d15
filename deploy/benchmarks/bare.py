"""A process of its own: the least proxy that aiohttp allows, to compare ours with: it checks and keeps nothing."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web
from yarl import URL


async def serve(cloudreve: str, port: int) -> None:
    """Answer `/thumb?uri=...` for anybody, until ended."""
    async with aiohttp.ClientSession() as session:

        async def thumb(request: web.Request) -> web.Response:
            asked = session.get(f"{cloudreve}/api/v4/file/thumb", params={"uri": request.query["uri"]})
            async with asked as response:
                url = (await response.json())["data"]["url"]
            async with session.get(URL(url, encoded=True)) as response:
                return web.Response(body=await response.read(), content_type="image/png")

        app = web.Application()
        app.add_routes([web.get("/thumb", thumb)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
