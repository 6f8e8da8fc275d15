"""What the stand-in was asked: every call, who asked, what came of it, how many at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Verb: TypeAlias = Literal[
    "resolve",
    "fetch",
    "whoami",
    "sign-in",
    "consent",
    "exchange",
    "refresh",
    "revoke",
    "upload",
    "ping",
    "share",
    "site_url",
    "folder",
    "app",
    "events",
]


@dataclass(slots=True)
class Call:
    """One request, written down when it arrives and completed when it ends."""

    verb: Verb
    target: str
    """The File URI as received for resolve, the entity id (or the foreign path) for fetch, else empty."""
    headers: dict[str, str] = field(repr=False)
    """As received, names in lower case."""
    identity: str = "anonymous"
    """User id, or `anonymous`; what a token was worth, not what it claimed."""
    code: int | None = None
    """Cloudreve's code, 0 for success, a picture or its 304; None while under way, or when a fault spoiled it."""
    fault: str = ""
    """Name of the fault that was played, if one was."""
    left: bool = False
    """The client closed the connection before the answer was complete."""
    ended: bool = False

    @property
    def ticket(self) -> str:
        """Give the purchase ticket that came along."""
        return self.headers.get("x-cr-purchase-ticket", "")


class CallLog:
    """All calls in order of arrival, with the questions that tests ask about them."""

    def __init__(self) -> None:
        self.all: list[Call] = []
        self._under_way: Counter[Verb] = Counter()
        self._peaks: Counter[Verb] = Counter()
        self._changed = asyncio.Condition()

    def count(
        self, verb: Verb, *, code: int | None = None, identity: str | None = None, target: str | None = None
    ) -> int:
        """Count calls, those with this outcome, identity or target where given."""
        return sum(
            call.verb == verb
            and (code is None or call.code == code)
            and (identity is None or call.identity == identity)
            and (target is None or call.target == target)
            for call in self.all
        )

    def of(self, verb: Verb) -> list[Call]:
        """List the calls of one verb in order of arrival."""
        return [call for call in self.all if call.verb == verb]

    def under_way(self, verb: Verb) -> int:
        """Count the calls that have arrived and not ended."""
        return self._under_way[verb]

    def peak(self, verb: Verb) -> int:
        """Return the most calls of a verb that were ever under way at once."""
        return self._peaks[verb]

    async def arrived(self, verb: Verb, count: int = 1) -> None:
        """Wait until so many calls of a verb have arrived since the beginning, or since `forget`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.count(verb) >= count)

    async def ended(self, verb: Verb, count: int = 1) -> None:
        """Wait until so many calls of a verb have ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: sum(call.ended for call in self.of(verb)) >= count)

    def forget(self) -> None:
        """Start counting anew; calls under way are forgotten too, and end unseen."""
        self.all.clear()
        self._peaks.clear()

    async def begin(self, call: Call) -> None:
        """Write a call down."""
        self.all.append(call)
        self._under_way[call.verb] += 1
        self._peaks[call.verb] = max(self._peaks[call.verb], self._under_way[call.verb])
        await self._wake()

    async def end(self, call: Call) -> None:
        """Complete a call."""
        call.ended = True
        self._under_way[call.verb] -= 1
        await self._wake()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
