"""Leases that are taken, or on their way, for an attempt that follows in a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from proxy.redis.lease import Lease, LeaseHolder


class _Expected(NamedTuple):
    """Nobody renews it yet."""

    token: str
    lease: asyncio.Future[Lease]
    good_until: float
    """By the event loop's time."""


class PrefetchedLeases:
    """Prefetched leases by key. One that is not used, or comes too late, is given back by `let_go`."""

    def __init__(self, good_s: float, let_go: Callable[[str, str], None]) -> None:
        self._good_s = good_s
        self._let_go = let_go
        self._expected: dict[str, _Expected] = {}

    def __contains__(self, key: str) -> bool:
        """Tell whether a lease is prefetched."""
        return key in self._expected

    def get(self, key: str) -> asyncio.Future[Lease] | None:
        """Give the prefetched lease; the caller shields it while it waits."""
        expected = self._expected.get(key)
        return expected.lease if expected is not None else None

    def expect(self, key: str, token: str, lease: asyncio.Future[Lease]) -> None:
        """Note a lease that has been asked for."""
        self._expected[key] = _Expected(token, lease, asyncio.get_running_loop().time() + self._good_s)

    def forget(self, key: str, token: str) -> None:
        """Drop a lease that another holder has."""
        expected = self._expected.get(key)
        if expected is not None and expected.token == token:
            del self._expected[key]

    def discard(self, key: str) -> None:
        """Give back a lease that was prefetched and not used."""
        expected = self._expected.pop(key, None)
        if expected is not None:
            self._give_back(key, expected)

    async def taken(self, key: str) -> tuple[str, Lease] | None:
        """Give the token and the lease, if it is ours and young enough; the caller renews it and lets it go."""
        expected = self._expected.pop(key, None)
        if expected is None:
            return None
        if asyncio.get_running_loop().time() >= expected.good_until:
            self._give_back(key, expected)
            return None
        try:
            lease = await asyncio.shield(expected.lease)
        except asyncio.CancelledError:
            self._give_back(key, expected)
            raise
        return (expected.token, lease) if lease.held is LeaseHolder.MINE else None

    def _give_back(self, key: str, expected: _Expected) -> None:
        def let_go(lease: asyncio.Future[Lease]) -> None:
            if not lease.cancelled() and lease.result().held is LeaseHolder.MINE:
                self._let_go(key, expected.token)

        expected.lease.add_done_callback(let_go)
