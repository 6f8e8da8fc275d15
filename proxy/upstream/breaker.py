"""Answers at once while Cloudreve is down, and finds out by itself when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from proxy.errors import ProxyError, TooSlow, Unreachable

TRIPPED_BY = 3
"""Failures in a row, with no answer of any kind between them, that count as an outage."""
UNHEARD_PINGS = 2
"""So many pings in a row without an answer do too."""
SUSPICIOUS_S = 5.0
"""A call that takes longer may be a big picture being generated, or an upstream that hangs: a ping tells which."""

_log = structlog.get_logger("proxy.upstream.breaker")


class Breaker:
    """Closed while Cloudreve answers. Open, every call fails at once; pings alone decide when it closes again.

    A call may rightly take minutes (CONTRACT: resolve), so that slowness alone never opens it, not even a time-out:
    while a call has been under way for long, Cloudreve is pinged, and only pings that fail say that it hangs.
    """

    def __init__(self, ping: Callable[[], Awaitable[None]], interval_s: float) -> None:
        self._ping = ping
        self._interval_s = interval_s
        self._failures = 0
        self._calls: dict[object, float] = {}
        self.is_open = False

    def check(self) -> None:
        """Raise Unreachable while Cloudreve is down."""
        if self.is_open:
            raise Unreachable("Cloudreve does not answer at the moment.")

    @contextmanager
    def call(self) -> Iterator[None]:
        """Make one call, or raise Unreachable without making it."""
        self.check()
        call = object()
        self._calls[call] = asyncio.get_running_loop().time()
        try:
            yield
        except Unreachable:
            self._fail(TRIPPED_BY)
            raise
        except TooSlow:
            raise  # pings have been telling what that means since it became suspicious
        except ProxyError:
            self._failures = 0  # it answered, be it badly
            raise
        else:
            self._failures = 0
        finally:
            del self._calls[call]

    async def watch(self) -> None:
        """Ping whenever there is reason to, for ever."""
        while True:
            await asyncio.sleep(self._interval_s)
            if self.is_open or self._is_suspicious():
                await self.probe()

    async def probe(self) -> None:
        """Ping once and draw the conclusion."""
        try:
            await self._ping()
        except Exception as error:  # noqa: BLE001 - who watches must not end of anything, or it would stay open for ever
            _log.debug("ping failed", error=type(error).__name__)
            self._fail(UNHEARD_PINGS)
        else:
            self._failures = 0
            if self.is_open:
                self.is_open = False
                _log.info("cloudreve up")

    def _is_suspicious(self) -> bool:
        now = asyncio.get_running_loop().time()
        return any(now - started > SUSPICIOUS_S for started in self._calls.values())

    def _fail(self, enough: int) -> None:
        self._failures += 1
        if self._failures >= enough and not self.is_open:
            self.is_open = True
            _log.warning("cloudreve down", failures=self._failures)
