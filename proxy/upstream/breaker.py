"""A circuit breaker: while Cloudreve is down calls fail at once, and pings find out when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from proxy.domain.errors import ProxyError, TooSlow, Unreachable

TRIPPED_BY = 3
"""Failures in a row, with no answer of any kind between them, that count as an outage."""
UNHEARD_PINGS = 2
"""Pings in a row without an answer that count as an outage too."""
SUSPICIOUS_S = 5.0
"""A call that takes longer may be a big picture being generated, or an upstream that hangs: a ping tells which."""

_log = structlog.get_logger("proxy.upstream.breaker")


class UpstreamBreaker:
    """Closed while Cloudreve answers. Open, every call fails at once; pings alone decide when it closes again.

    A call may rightly take minutes (docs/cloudreve.md, Generating), so that slowness alone never opens it, not even a
    time-out: it makes Cloudreve be pinged, as any failure does, and only pings that fail say that it hangs.
    """

    def __init__(self, ping: Callable[[], Awaitable[None]], interval_s: float) -> None:
        self._ping = ping
        self._interval_s = interval_s
        self._failures = 0
        self._has_timed_out = False
        self._calls: dict[object, float] = {}
        self.is_open = False
        self._reason = ""

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
        except Unreachable as error:
            self._fail(TRIPPED_BY, error)
            raise
        except TooSlow:
            self._has_timed_out = True
            raise
        except ProxyError:
            self._hear()  # it answered, be it badly
            raise
        else:
            self._hear()
        finally:
            del self._calls[call]

    def ping_failed(self, error: ProxyError) -> None:
        """Take note of a ping that another object has sent and Cloudreve has not answered."""
        self._fail(UNHEARD_PINGS, error)

    def troubles(self) -> list[str]:
        """Tell of an outage."""
        return [f"cloudreve.url does not answer: {self._reason}"] if self.is_open else []

    async def watch(self) -> None:
        """Ping whenever there is reason to, for ever."""
        while True:
            await asyncio.sleep(self._interval_s)
            if self.is_open or self._failures or self._is_suspicious():
                await self.probe()

    async def probe(self) -> None:
        """Ping once and draw the conclusion."""
        try:
            await self._ping()
        except Exception as error:  # noqa: BLE001 - who watches must not end of anything, or it would stay open for ever
            _log.debug("ping failed", error=type(error).__name__)
            self._fail(UNHEARD_PINGS, error)
        else:
            self._hear()
            if self.is_open:
                self.is_open = False
                _log.info("cloudreve up")

    def _hear(self) -> None:
        """Take note of an answer. An open breaker stays so: it may be a late one, from before the outage."""
        self._failures, self._has_timed_out = 0, False

    def _is_suspicious(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._has_timed_out or any(now - started > SUSPICIOUS_S for started in self._calls.values())

    def _fail(self, enough: int, error: Exception) -> None:
        self._failures += 1
        self._reason = error.detail if isinstance(error, ProxyError) else type(error).__name__
        if self._failures >= enough and not self.is_open:
            self.is_open = True
            _log.warning("cloudreve down", failures=self._failures, reason=self._reason)
