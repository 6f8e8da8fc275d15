"""Every behaviour of a storage in every state of what the gateway knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from deploy.drills.storage.asking import Visit, Visitor
from deploy.drills.storage.front import Front, Late
from deploy.drills.storage.stage import DEADLINE_S, GRANT_S, Stage
from proxy.standin import faults
from proxy.standin.faults import Fault, Hang, Says
from proxy.standin.painting import paint

LATE_S = 1.5
TRIES = 20
GRACE_S = 0.5
"""How much longer than the deadline an answer may take on a busy machine."""
PAUSED_S = 6.0
"""After this nothing that storage has said is remembered any more."""
STATES = ("nothing known", "bytes known", "grant live", "renewal due")
_numbers = count(1)


def denial(status: int, code: str, **fields: str) -> Callable[[], Fault]:
    """Make S3's answer with an error."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()
    return lambda: Says(body, "application/xml", status, fields)


BEHAVIOURS: dict[str, Callable[[], Fault] | None] = {
    "hang": Hang,
    "cut": faults.Reset,
    "half": faults.Half,
    "403": denial(403, "AccessDenied"),
    "404": denial(404, "NoSuchKey"),
    "429": denial(429, "TooManyRequests", **{"Retry-After": "2"}),
    "500": denial(500, "InternalError"),
    "503": denial(503, "SlowDown"),
    "TLS": None,
    "redirect": lambda: faults.redirect("http://127.0.0.2:1/elsewhere"),
    "written late": lambda: Late(LATE_S),
}


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one behaviour in one state."""

    behaviour: str
    state: str
    visit: Visit
    asked: int
    """How often storage was asked."""
    is_right: bool
    """Within the deadline, true, and the right picture as soon as storage is well again."""


async def rows(stage: Stage, behaviour: str, policy: str, nobody: Visitor, somebody: Visitor) -> AsyncIterator[Row]:
    """Try one behaviour in every state, with one storage policy; TLS has a policy of its own."""
    kind = "s3-tls" if BEHAVIOURS[behaviour] is None else policy
    front, number = stage.fronts[kind if kind in stage.fronts else "s3"], next(_numbers)
    pictures = {f"{name}.png": paint(number * 10 + place, 640, 480) for place, name in enumerate(("new", "known"))}
    new, known = await stage.site.album(stage.owners[kind], f"row-{number}", pictures)
    await stage.site.thumbnail(new)  # it is made, so that the time is storage's and the gateway's
    right = await _shown(nobody, known)
    front.relays = policy == "relayed"
    async with _spoilt(stage, front, behaviour):
        yield await _row(behaviour, "grant live", front, nobody, known, right)
        yield await _row(behaviour, "bytes known", front, somebody, known, right)
        await asyncio.sleep(GRANT_S)
        yield await _row(behaviour, "renewal due", front, nobody, known, right)
    async with _spoilt(stage, front, behaviour):
        row = await _row(behaviour, "nothing known", front, nobody, new, b"")
    await asyncio.sleep(PAUSED_S)
    again, other = await nobody.visit(new), await nobody.visit(known)
    is_well = again.status == other.status == 200 and again.is_true and other.body == right  # noqa: PLR2004
    yield Row(row.behaviour, row.state, row.visit, row.asked, row.is_right and is_well)


async def _shown(visitor: Visitor, uri: str) -> bytes:
    """Ask until the picture comes: a busy machine may take longer than the deadline to make it."""
    for _ in range(TRIES):
        visit = await visitor.visit(uri)
        if visit.status == 200 and visit.is_true:  # noqa: PLR2004
            return visit.body
        await asyncio.sleep(1.0)
    raise AssertionError(f"the picture does not come: {visit.status}")


async def _row(behaviour: str, state: str, front: Front, visitor: Visitor, uri: str, right: bytes) -> Row:
    before = front.asked
    visit = await visitor.visit(uri)
    await asyncio.sleep(0)
    is_right = visit.is_true and visit.seconds < DEADLINE_S + GRACE_S
    if visit.status == 200 and right:  # noqa: PLR2004
        is_right = is_right and visit.body == right
    return Row(behaviour, state, visit, front.asked - before, is_right)


@asynccontextmanager
async def _spoilt(stage: Stage, front: Front, behaviour: str) -> AsyncIterator[None]:
    """Let storage behave so to the gateway; Cloudreve is served well, so that the thumbnail is made."""
    make = BEHAVIOURS[behaviour]
    if make is None:
        with front.other_certificate(stage.untrusted, stage.trusted):
            yield
        return
    front.fault = make()
    try:
        yield
    finally:
        front.mend()
