"""Loaders of texts, which stand for entries where it does not matter which they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from proxy.coalesce.messages import DONE, Received, Stored, Whole
from proxy.coalesce.work_sharing import Handover, Loader
from proxy.domain.shared_write import Commit, SharedWrite


def text_in(received: Received | None) -> str:
    """Give the text that another process has left; nothing for a message without one."""
    return received.value.decode() if isinstance(received, (Stored, Whole)) else ""


def committed(text: str, ttl_s: float = 60.0) -> Commit:
    """Give the write of a text to Redis."""
    return partial(SharedWrite, text.encode(), int(ttl_s * 1000))


def text_loader(
    key: str,
    find: Callable[[str], Awaitable[str | None]],
    load: Callable[[], Awaitable[str]],
    *,
    tells: bool = True,
    kept_s: float | None = None,
) -> Loader[str]:
    """Make the loader of a text, which `find` is given, or nothing; with `kept_s` it stands in Redis for so long."""

    async def read(received: Received | None) -> str | None:
        return await find(text_in(received))

    def write(text: str) -> Handover:
        commit = committed(text, kept_s) if kept_s is not None else None
        return Handover(Whole(text.encode()) if tells else DONE, commit)

    return Loader(key, read, load, write)
