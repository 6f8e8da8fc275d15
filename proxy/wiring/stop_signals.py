"""Signals that end a process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from signal import Signals


def stopped_by(signals: Mapping[Signals, float]) -> asyncio.Future[float]:
    """Give a future that the first of these signals resolves, to the seconds for which requests are still taken."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[float] = loop.create_future()
    for number, drain_s in signals.items():
        loop.add_signal_handler(number, partial(resolve, stopped, drain_s))
    return stopped


def resolve(stopped: asyncio.Future[float], drain_s: float) -> None:
    """Resolve the future, unless a signal has been there before."""
    if not stopped.done():
        stopped.set_result(drain_s)
