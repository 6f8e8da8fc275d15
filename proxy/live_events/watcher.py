"""Keeps subscriptions to the folders that are worth one, the most wanted first, and no more than are allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cachetools import TTLCache

from proxy.background_tasks import failure_logger
from proxy.live_events.confirmation import Bearer
from proxy.live_events.subscription import Count, Ears, State, Subscription
from proxy.live_events.watched_folder import WatchedFolder

STEP_S = 0.25
"""How often it is looked at which folders are wanted."""
COLD_S = 600.0
"""How long a folder that nobody has named is not tried again after Cloudreve has said no."""
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


@dataclass(slots=True)
class _Watched:
    subscription: Subscription
    task: asyncio.Task[None]
    told_as: str


class Watcher:
    """All subscriptions of one process."""

    def __init__(self, wanted: Callable[[int], Iterable[Wanted]], ears: Ears, max_subscriptions: int) -> None:
        """`wanted` gives the folders that are worth it, so many at most, the most wanted first."""
        self._wanted = wanted
        self.ears = ears
        self._max_subscriptions = max_subscriptions
        self._watched: dict[str, _Watched] = {}
        self._cold: TTLCache[str, bool] = TTLCache(10 * max_subscriptions, COLD_S)
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
        told = [(each.told_as, each.subscription.reason) for each in failing if each.told_as]
        return [f"{name}: changes made at Cloudreve are not heard: {reason}" for name, reason in dict.fromkeys(told)]

    async def follow(self) -> None:
        """Go on for ever."""
        while True:
            self.step()
            await asyncio.sleep(STEP_S)

    def step(self) -> None:
        """Begin and end subscriptions so that the most wanted folders have one."""
        for name, watched in self._watched.items():
            if watched.subscription.is_refused and not watched.told_as:
                self._cold[name] = True
        wanted: dict[str, Wanted] = {}
        for each in self._wanted(self._max_subscriptions + len(self._cold)):
            if each.folder.name not in self._cold and len(wanted) < self._max_subscriptions:
                wanted.setdefault(each.folder.name, each)
        for name in self._watched.keys() - wanted.keys():
            self._leave(self._watched.pop(name))
        for name, each in wanted.items():
            if name not in self._watched:
                self._watched[name] = self._begun(each)
            subscription = self._watched[name].subscription
            subscription.folder, subscription.bearer = each.folder, each.bearer  # the password, the token

    async def aclose(self) -> None:
        """End all, so that other processes can go on."""
        for watched in self._watched.values():
            self._leave(watched)
        self._watched.clear()
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=LEAVE_S)

    def _begun(self, wanted: Wanted) -> _Watched:
        subscription = Subscription(wanted.folder, wanted.bearer, self.ears, self.count, is_named=bool(wanted.told_as))
        task = asyncio.get_running_loop().create_task(subscription.follow())
        task.add_done_callback(failure_logger("a subscription has ended"))
        return _Watched(subscription, task, wanted.told_as)

    def _leave(self, watched: _Watched) -> None:
        watched.task.cancel()
        self._leaving.add(watched.task)
        watched.task.add_done_callback(self._leaving.discard)
