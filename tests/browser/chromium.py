"""A headless Chromium, and the connection over which it is driven (Chrome DevTools Protocol)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any, Self

import aiohttp

PROGRAM = "chromium"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--password-store=basic",
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP nas 127.0.0.1, MAP *.localhost 127.0.0.1",
    "--lang=en-US",
    "--remote-debugging-port=0",
)
_LAUNCHER = str(Path(__file__).with_name("without_netlink.py"))
_ADDRESS = "DevTools listening on "
_KEEPER = '"$@" & exec 2>/dev/null; read -r _; kill $!; wait'
"""Ends the program when its standard input does, so that it does not outlive tests that are killed."""

Params = dict[str, Any]
Listener = Callable[[str, Params], None]
"""Hears an event's name and what it says."""


class Chromium:
    """The program, with a folder of its own for all that it writes."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._arguments = [
            sys.executable,
            _LAUNCHER,
            PROGRAM,
            *FLAGS,
            f"--user-data-dir={folder}",
            *flags,
            "about:blank",
        ]
        self._process: subprocess.Popen[str] | None = None
        self._drain: Thread | None = None
        self.address = ""
        """Where its DevTools listen."""

    def start(self) -> Self:
        """Start it, and wait until it can be driven."""
        process = subprocess.Popen(  # noqa: S603 - a program of the system with fixed arguments
            ["/bin/sh", "-c", _KEEPER, "keeper", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        self._process = process
        self.address = next((line.partition(_ADDRESS)[2].strip() for line in said if _ADDRESS in line), "")
        self._drain = Thread(target=process.stderr.read, daemon=True)  # else it stops when the pipe is full
        self._drain.start()
        assert self.address, "Chromium does not start"
        return self

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        if self._drain is not None and self._process.stderr is not None:
            self._drain.join()
            self._process.stderr.close()


class DevTools:
    """One connection: commands with their answers, and events for whoever listens."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._answers: dict[int, asyncio.Future[Params]] = {}
        self._listeners: dict[str, Listener] = {}

    def listen(self, session: str, listener: Listener) -> None:
        """Hear all events of one attached page."""
        self._listeners[session] = listener

    async def send(self, method: str, session: str = "", **params: object) -> Params:
        """Send a command, to the browser or to one attached page, and give its answer."""
        number = len(self._answers) + 1
        answer: asyncio.Future[Params] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        await self._socket.send_json(message)
        return await answer

    async def read(self) -> None:
        """Take what comes, until the connection ends."""
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answer(said)
            elif said.get("sessionId") in self._listeners:
                self._listeners[said["sessionId"]](said["method"], said["params"])
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("Chromium is gone"))

    def _answer(self, said: Params) -> None:
        answer = self._answers[said["id"]]
        if answer.done():
            return
        if "error" in said:
            answer.set_exception(RuntimeError(str(said["error"])))
        else:
            answer.set_result(said["result"])


@asynccontextmanager
async def connected(chromium: Chromium) -> AsyncIterator[DevTools]:
    async with aiohttp.ClientSession() as session, session.ws_connect(chromium.address, max_msg_size=0) as socket:
        devtools = DevTools(socket)
        reading = asyncio.create_task(devtools.read())
        try:
            yield devtools
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
