"""Profiles of a browser and the pages in them: one goes somewhere, looks, types and clicks."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.browser.chromium import DevTools, Params
from tests.browser.traffic import Traffic

PATIENCE_S = 50.0
SHOWN = "[...document.images].map(image => image.complete ? image.naturalWidth : -1)"
_WATCH = """new Promise(resolve => {{
  const look = () => {{
    const found = {expression};
    if (found) resolve(found instanceof Node || found); else setTimeout(look, 50);
  }};
  look();
}})"""


class Page:
    """One tab."""

    def __init__(self, devtools: DevTools, frame: str, session: str) -> None:
        self._devtools = devtools
        self._frame = frame
        self._session = session
        self._loads: dict[str, asyncio.Event] = {}
        self._begun: asyncio.Queue[str] = asyncio.Queue()
        self.traffic = Traffic()
        self._pages: dict[str, str] = {}
        self._put: set[asyncio.Task[Params]] = set()
        devtools.listen(session, self._hear)

    async def prepare(self) -> None:
        """Hear what happens in it."""
        for domain in ("Page", "Runtime", "Network"):
            await self.send(f"{domain}.enable")
        await self.send("Page.setLifecycleEventsEnabled", enabled=True)

    async def send(self, method: str, **params: object) -> Params:
        """Send any command of the protocol."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._devtools.send(method, self._session, **params)

    async def put(self, url: str, html: str) -> None:
        """Have the browser take this page in the place of what is at a URL."""
        self._pages[url] = html
        await self.send("Fetch.enable", patterns=[{"urlPattern": each} for each in self._pages])

    async def go(self, url: str) -> None:
        """Open a URL, and wait until the page and all its pictures are there, or known not to come."""
        async with self.leaving():
            went = await self.send("Page.navigate", url=url)
            assert not went.get("errorText"), went

    async def reload(self) -> None:
        """Do what the reload button does."""
        async with self.leaving():
            await self.send("Page.reload")

    @asynccontextmanager
    async def leaving(self, where: str = "") -> AsyncIterator[None]:
        """Wait, after what is done inside, until another page is loaded in place of this one, at `where` if given."""
        while not self._begun.empty():
            self._begun.get_nowait()
        yield
        async with asyncio.timeout(PATIENCE_S):
            await self._loads[await self._begun.get()].wait()
            while where and await self.js("location.href") != where:
                await self._loads[await self._begun.get()].wait()

    async def js(self, expression: str) -> Any:  # noqa: ANN401 - whatever a script gives
        """Evaluate an expression, and await it where it is a promise."""
        how = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        said = await self.send("Runtime.evaluate", expression=expression, **how)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def until(self, expression: str) -> Any:  # noqa: ANN401 - as above
        """Wait until an expression is true in the page, and give its value."""
        return await self.js(_WATCH.format(expression=expression))

    async def shown(self) -> list[int]:
        """List how wide the pictures of this page are: 0 where none is shown."""
        widths: list[int] = await self.js(SHOWN)
        return widths

    async def type(self, selector: str, text: str) -> None:
        """Write into a field, as with a keyboard."""
        await self.until(f"document.querySelector({json.dumps(selector)})")
        await self.js(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.send("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        """Press a button or a link once it is there."""
        await self.until(f"document.querySelector({json.dumps(selector)})")
        await self.js(f"document.querySelector({json.dumps(selector)}).click()")

    async def choose(self, selector: str, files: list[Path]) -> None:
        """Give files to a file field."""
        root = (await self.send("DOM.getDocument"))["root"]["nodeId"]
        found = await self.send("DOM.querySelector", nodeId=root, selector=selector)
        await self.send("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(file) for file in files])

    def _hear(self, event: str, said: Params) -> None:
        if event == "Page.lifecycleEvent" and said["frameId"] == self._frame:
            self._follow(said["name"], said["loaderId"])
        elif event.startswith("Network."):
            self.traffic.hear(event, said)
        elif event == "Fetch.requestPaused":
            self._fulfil(said)

    def _fulfil(self, said: Params) -> None:
        body = b64encode(self._pages[said["request"]["url"]].encode()).decode()
        html = [{"name": "Content-Type", "value": "text/html; charset=utf-8"}]
        answer = {"requestId": said["requestId"], "responseCode": 200, "responseHeaders": html, "body": body}
        task = asyncio.get_running_loop().create_task(self.send("Fetch.fulfillRequest", **answer))
        self._put.add(task)
        task.add_done_callback(self._put.discard)

    def _follow(self, step: str, loader: str) -> None:
        if step == "init":
            self._loads[loader] = asyncio.Event()
            self._begun.put_nowait(loader)
        elif step == "load" and loader in self._loads:
            self._loads[loader].set()


class Profile:
    """Cookies, storage and cache of one visitor, in memory until it is closed."""

    def __init__(self, devtools: DevTools, context: str) -> None:
        self._devtools = devtools
        self._context = context

    async def page(self, *, height: int = 900) -> Page:
        """Open an empty tab."""
        where = {"browserContextId": self._context} if self._context else {}
        target = await self._devtools.send("Target.createTarget", url="about:blank", **where)
        attached = await self._devtools.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self._devtools, target["targetId"], attached["sessionId"])
        await page.prepare()
        size = {"width": 1280, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await page.send("Emulation.setDeviceMetricsOverride", **size)
        return page

    async def cookies(self) -> list[Params]:
        """List its cookies."""
        found: list[Params] = (await self._devtools.send("Storage.getCookies", browserContextId=self._context))[
            "cookies"
        ]
        return found


@asynccontextmanager
async def profile(devtools: DevTools) -> AsyncIterator[Profile]:
    """Open a fresh profile, and forget it at the end."""
    context = (await devtools.send("Target.createBrowserContext"))["browserContextId"]
    try:
        yield Profile(devtools, context)
    finally:
        await devtools.send("Target.disposeBrowserContext", browserContextId=context)
