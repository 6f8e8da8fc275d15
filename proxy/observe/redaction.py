"""Values and errors as the log may show them: without anything that could hold a secret."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, TypeAlias

from proxy.domain.errors import ProxyError

_MAX_TEXT = 1000
_MAX_EXCEPTIONS = 5
_MAX_FRAMES = 25

Told: TypeAlias = dict[str, Any]
"""An exception as the log tells it."""


def redacted(value: object) -> object:
    """Return numbers and printable text as they are; of anything else, which may print its contents, the type alone."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        text = value if value.isprintable() else value.encode("unicode_escape").decode()
        return text[:_MAX_TEXT]
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return f"<{type(value).__name__}>"


def described(error: BaseException) -> Iterator[Told]:
    """Tell an exception and those behind it, the outermost first."""
    waiting, seen = [error], 0
    while waiting and seen < _MAX_EXCEPTIONS:
        current = waiting.pop(0)
        seen += 1
        yield _told_alone(current)
        behind = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        waiting += [behind] if behind else []
        waiting += current.exceptions if isinstance(current, BaseExceptionGroup) else []


def _told_alone(error: BaseException) -> Told:
    tale: Told = {"type": f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")}
    if isinstance(error, ProxyError):
        tale["category"] = error.category
    if isinstance(error, OSError) and error.errno:
        tale["errno"] = errno.errorcode.get(error.errno, str(error.errno))
    frames = list(traceback.walk_tb(error.__traceback__))[-_MAX_FRAMES:]
    tale["frames"] = [f"{place(f.f_code.co_filename)}:{line}:{f.f_code.co_qualname}" for f, line in frames]
    return tale


def place(filename: str) -> str:
    """Return the last two parts of a path: enough to find the file, and nothing of the machine."""
    return "/".join(PurePath(filename).parts[-2:])


def words(message: str) -> str:
    """Return the words a message begins with, up to the first thing that may be a value."""
    words = re.match(r"(?:[A-Za-z]{1,15}[ .,:]*)*", message)
    return words.group().strip() if words else ""
