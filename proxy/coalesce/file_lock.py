"""A lock on a file, waited for by a thread and not for ever: its holder may have been stopped."""

from __future__ import annotations

import fcntl
import time

_POLL_S = 0.005


def lock_within(seconds: float, descriptor: int, kind: int = fcntl.LOCK_EX) -> None:
    """Lock an open file against other processes (flock(2)); raise TimeoutError when that takes longer than `seconds`.

    Without a time limit each call would keep a thread, until the pool that all share has none left.
    """
    until = time.monotonic() + seconds
    while not locked_now(descriptor, kind):
        if time.monotonic() >= until:
            raise TimeoutError("another process holds the lock")
        time.sleep(_POLL_S)


def locked_now(descriptor: int, kind: int) -> bool:
    """Lock an open file if nobody holds another lock on it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
