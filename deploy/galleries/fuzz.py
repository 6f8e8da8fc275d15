"""Thousands of broken pictures through a gateway, whose encoder process is killed and stopped meanwhile.

Whatever the encoder makes of a picture, who asks for WebP is told what everybody else is told: the picture, or that
storage has sent something that is none.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from random import Random

import aiohttp

from deploy.benchmarks.table import Row
from deploy.drills.gateway import Gateway
from proxy.standin.standin import StandIn

TROUBLE_EVERY = 50
"""After so many pictures the encoder process is killed, or stopped, in turn."""
GROWTH_BYTES = 12 * 1024 * 1024
"""How much larger the gateway may be at the end than in the middle."""
SETTINGS = {
    "PICTURES__ENCODE_TIMEOUT_S": "0.5",
    "PICTURES__FORMATS": '["avif", "webp"]',
    "MEMORY__MAX_BYTES": "8388608",
}
_ACCEPTS = ("image/webp", "image/avif,image/webp")
_MOST_CHANGES = 8


@dataclass(slots=True)
class Findings:
    """What has come of it."""

    shown: Counter[str] = field(default_factory=Counter)
    """How often which media type was shown, or which status was."""
    differing: list[str] = field(default_factory=list)
    """Where who asks for a format was told something else than who does not."""
    killed: int = 0
    stopped: int = 0
    grown_bytes: int = 0
    has_died: bool = False
    complaints: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Tell whether no request failed for its format, and the gateway is as it was."""
        return not (self.differing or self.has_died or self.complaints) and self.grown_bytes < GROWTH_BYTES


def broken(chance: Random, bodies: Sequence[bytes]) -> bytes:
    """Change bytes of a picture, in many places or few."""
    body = bytearray(chance.choice(bodies))
    for _ in range(chance.randint(1, _MOST_CHANGES)):
        body[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(body[: chance.randint(1, len(body))]) if chance.random() < 1 / 4 else bytes(body)


async def fuzz(cloudreve: StandIn, gateway: Gateway, bodies: Sequence[bytes], count: int, seed: int = 1) -> Findings:
    """Ask for each picture in a format and without one."""
    chance, findings, library = Random(seed), Findings(), cloudreve.library  # noqa: S311 - no secret
    share, before = library.publish(library.alice, "/broken").id, 0
    async with aiohttp.ClientSession(f"http://127.0.0.1:{gateway.port}") as session:
        for number in range(count):
            library.put(library.alice, f"/broken/{number}.png", thumbnail=broken(chance, bodies))
            uri = f"cloudreve://{share}@share/{number}.png"
            formatted = await _asked(session, uri, _ACCEPTS[number % len(_ACCEPTS)])
            plain = await _asked(session, uri, "*/*")
            findings.shown[formatted[1] or str(formatted[0])] += 1
            if formatted[0] != plain[0]:
                findings.differing.append(f"{number}: {formatted[0]}, {plain[0]} without a format")
            if number % TROUBLE_EVERY == TROUBLE_EVERY - 1:
                _trouble(gateway, findings, is_killed=number % (2 * TROUBLE_EVERY) < TROUBLE_EVERY)
            if number == count // 2:
                before = gateway.memory_bytes
    findings.has_died, findings.complaints = gateway.has_ended, gateway.complaints
    findings.grown_bytes = gateway.memory_bytes - before
    return findings


def row(findings: Findings, count: int) -> Row:
    """Say what has come of it."""
    grown_mib = findings.grown_bytes / 1024 / 1024
    shown = ", ".join(f"{number} {what}" for what, number in findings.shown.most_common())
    return Row(
        f"{count} broken pictures, encoder killed {findings.killed} times and stopped {findings.stopped} times",
        f"{len(findings.differing)} failed for their format, grown by {grown_mib:.1f} MiB in the second half",
        shown,
        goal="none, and no growth",
        is_reached=findings.is_good,
    )


async def _asked(session: aiohttp.ClientSession, uri: str, accept: str) -> tuple[int, str]:
    async with session.get("/thumb", params={"uri": uri}, headers={"Accept": accept}) as response:
        body = await response.read()
        is_picture = response.status == HTTPStatus.OK and bool(body)
        return response.status, response.content_type if is_picture else ""


def _trouble(gateway: Gateway, findings: Findings, *, is_killed: bool) -> None:
    """Kill or stop the encoder processes."""
    for pid in _children(gateway.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if is_killed else signal.SIGSTOP)
            findings.killed += is_killed
            findings.stopped += not is_killed


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in listed.split()]
