"""asyncio's servers close a connection that they have accepted when they are closed before its transport is made.

CPython leaves it to the garbage collector, whose warning ends a later test (github.com/python/cpython/issues/109564).
"""

from __future__ import annotations

import asyncio
import socket
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

Accept = Callable[..., Coroutine[Any, Any, None]]
_ACCEPT = "_accept_connection2"


def pytest_configure(config: pytest.Config) -> None:
    for name, replace in ((_ACCEPT, _accepting), ("close", _closing)):
        original = getattr(BaseSelectorEventLoop, name)
        setattr(BaseSelectorEventLoop, name, replace(original))
        config.add_cleanup(partial(setattr, BaseSelectorEventLoop, name, original))


def _accepting(accept: Accept) -> Accept:
    """Note the connection at once: a task that is cancelled before its first step closes nothing."""

    def noted(loop: Any, factory: object, conn: socket.socket, *rest: Any) -> Coroutine[Any, Any, None]:  # noqa: ANN401
        _waiting(loop).add(conn)
        return begun(loop, factory, conn, *rest)

    async def begun(loop: Any, factory: object, conn: socket.socket, extra: object, tls: object, *rest: Any) -> None:  # noqa: ANN401
        _waiting(loop).discard(conn)
        server: asyncio.Server | None = rest[0]
        if server is not None and not server.is_serving():
            conn.close()
        else:
            await accept(loop, factory, conn, extra, tls, *rest)

    return noted


def _closing(close: Callable[[Any], None]) -> Callable[[Any], None]:
    def closed(loop: Any) -> None:  # noqa: ANN401
        for conn in _waiting(loop):
            conn.close()
        _waiting(loop).clear()
        close(loop)

    return closed


def _waiting(loop: Any) -> set[socket.socket]:  # noqa: ANN401
    """Give the connections whose tasks have not begun."""
    waiting: set[socket.socket] = loop.__dict__.setdefault("_waiting_connections", set())
    return waiting
