"""Keeps subscriptions to the folders that are worth one, the most wanted first, and no more than are allowed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from proxy.background_tasks import failure_logger
from proxy.live_events.confirmation import Bearer
from proxy.live_events.subscription import Count, State, Subscription, SubscriptionContext
from proxy.live_events.watched_folder import WatchedFolder

STEP_S = 0.25
"""How often it is looked at which folders are wanted."""
COLD_S = 600.0
"""How long a folder that nobody has named is not tried again after Cloudreve has said no."""
MAX_BEGINNING = 4
"""So many such folders at once may wait for Cloudreve's first word."""
HOLD_S = (60.0, 3600.0)
"""How long no other such folder is tried after one in vain: twice as long each time, until one is heard."""
LEAVE_S = 3.0
"""How long all subscriptions together may take to end."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A folder that is worth a subscription."""

    folder: WatchedFolder
    bearer: Bearer
    """Gives a token that is good for a call; raises ProxyError where there is none."""
    told_as: str = ""
    """How an operator knows it; empty for what is no operator's affair."""
    put_off: Callable[[float], None] | None = None
    """Has it be wanted no more for so many seconds; None for what an operator has named."""


@dataclass(slots=True)
class _Watched:
    subscription: Subscription
    task: asyncio.Task[None]
    wanted: Wanted


class Watcher:
    """All subscriptions of one process."""

    def __init__(
        self, wanted: Callable[[int], Iterable[Wanted]], context: SubscriptionContext, max_subscriptions: int
    ) -> None:
        """`wanted` gives the folders that are worth it, so many at most, the most wanted first."""
        self._wanted = wanted
        self.context = context
        self._max_subscriptions = max_subscriptions
        self._watched: dict[str, _Watched] = {}
        self._hold_s, self._held_until = HOLD_S[0], -math.inf
        self._leaving: set[asyncio.Task[None]] = set()
        self.count = Count()

    def number(self, state: State) -> int:
        """Count the subscriptions that are in a state."""
        return sum(watched.subscription.state is state for watched in self._watched.values())

    @property
    def folders(self) -> int:
        """Count the folders that are watched, here or by another process."""
        return len(self._watched)

    def troubles(self) -> list[str]:
        """Tell which folders that an operator has named are not heard."""
        failing = [each for each in self._watched.values() if each.subscription.state is State.FAILING]
        told = [(each.wanted.told_as, each.subscription.reason) for each in failing if each.wanted.told_as]
        return [f"{name}: changes made at Cloudreve are not heard: {reason}" for name, reason in dict.fromkeys(told)]

    async def follow(self) -> None:
        """Go on for ever."""
        while True:
            self.step()
            await asyncio.sleep(STEP_S)

    def step(self) -> None:
        """Begin and end subscriptions so that the most wanted folders have one."""
        now = asyncio.get_running_loop().time()
        self._put_off(now)
        wanted: dict[str, Wanted] = {}
        for each in self._wanted(self._max_subscriptions):
            if len(wanted) < self._max_subscriptions:
                wanted.setdefault(each.folder.name, each)
        for name in self._watched.keys() - wanted.keys():
            self._leave(self._watched.pop(name))
        beginning = sum(each.state is State.BEGINNING and not each.was_heard for _, each in self._unnamed())
        for name, each in wanted.items():
            if name not in self._watched:
                if each.put_off is not None:
                    if now < self._held_until or beginning >= MAX_BEGINNING:
                        continue
                    beginning += 1
                self._watched[name] = self._begun(each)
            subscription = self._watched[name].subscription
            subscription.folder, subscription.bearer = each.folder, each.bearer  # the password, the token

    def _unnamed(self) -> Iterator[tuple[Callable[[float], None], Subscription]]:
        for watched in self._watched.values():
            if watched.wanted.put_off is not None:
                yield watched.wanted.put_off, watched.subscription

    def _put_off(self, now: float) -> None:
        """Give up for a while what Cloudreve has refused; where it has no events, whatever is not heard yet."""
        is_in_vain = False
        for put_off, subscription in self._unnamed():
            if subscription.is_refused or subscription.is_in_vain:
                put_off(COLD_S)
            is_in_vain = is_in_vain or subscription.is_in_vain
        if self.number(State.LIVE):
            self._hold_s = HOLD_S[0]
        if is_in_vain and now >= self._held_until:
            self._held_until, self._hold_s = now + self._hold_s, min(2 * self._hold_s, HOLD_S[1])

    async def aclose(self) -> None:
        """End all, so that other processes can go on."""
        for watched in self._watched.values():
            self._leave(watched)
        self._watched.clear()
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=LEAVE_S)

    def _begun(self, wanted: Wanted) -> _Watched:
        subscription = Subscription(
            wanted.folder, wanted.bearer, self.context, self.count, is_named=bool(wanted.told_as)
        )
        task = asyncio.get_running_loop().create_task(subscription.follow())
        task.add_done_callback(failure_logger("a subscription has ended"))
        return _Watched(subscription, task, wanted)

    def _leave(self, watched: _Watched) -> None:
        watched.task.cancel()
        self._leaving.add(watched.task)
        watched.task.add_done_callback(self._leaving.discard)
