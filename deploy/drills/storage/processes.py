"""A real S3 server (versitygw) and a real Cloudreve, master or slave, as processes on loopback."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import Self

import aiohttp

ACCESS, SECRET = "thumb-proxy-drill", "drill-secret-of-no-value"
START_S = 60.0
POLL_S = 0.1
_READ_BY_ALL = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:GetObject"],'
    '"Resource":["arn:aws:s3:::public/*"]}]}'
)


class Process:
    """A program with a port, whose output goes to a file beside its data."""

    def __init__(self, folder: Path, port: int, *words: str, **environment: str) -> None:
        self._folder = folder
        self._words = words
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{port}"

    async def start(self, path: str) -> Self:
        """Start it and wait until it answers at a path, with whatever status."""
        self._launch()
        async with asyncio.timeout(START_S), aiohttp.ClientSession() as session:
            while not await self._answers(session, path):  # noqa: ASYNC110 - it cannot tell us
                await asyncio.sleep(POLL_S)
        return self

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(10)

    def _launch(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        environment = os.environ | self._environment
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - programs that the command line names
                self._words, cwd=self._folder, env=environment, stdout=log, stderr=log
            )

    async def _answers(self, session: aiohttp.ClientSession, path: str) -> bool:
        assert self._process is not None  # noqa: S101 - it has been started
        assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]  # noqa: S101
        try:
            async with session.get(self.url + path):
                return True
        except aiohttp.ClientError:
            return False


def s3(program: Path, folder: Path, port: int) -> Process:
    """Make an S3 server with the buckets `private` and `public`, whose objects are files below `root`."""
    for bucket in ("private", "public"):
        (folder / "root" / bucket).mkdir(parents=True, exist_ok=True)
    os.setxattr(folder / "root" / "public", "user.policy", _READ_BY_ALL.encode())
    credentials = ("--access", ACCESS, "--secret", SECRET)
    words = (str(program), "--port", f"127.0.0.1:{port}", *credentials, "--quiet", "posix", str(folder / "root"))
    return Process(folder, port, *words)


def cloudreve(program: Path, folder: Path, port: int, slave_secret: str = "", **environment: str) -> Process:
    """Make a Cloudreve; with a secret it is a slave node."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    (data / "statics").mkdir(exist_ok=True)
    mode = "slave" if slave_secret else "master"
    text = f"[System]\nDebug = false\nMode = {mode}\nListen = 127.0.0.1:{port}\n"
    text += f"[Slave]\nSecret = {slave_secret}\n[CORS]\nAllowOrigins = *\n" if slave_secret else ""
    (data / "conf.ini").write_text(text)
    own = folder / "cloudreve"
    shutil.copy(program, own)  # it keeps its database beside itself
    words = (str(own), "server", "-w", "-c", str(data / "conf.ini"))
    return Process(folder, port, *words, **environment)
