"""The header lines of a request, read with httptools: strictly, and of the fields those that can change the answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import httptools

from proxy.domain.request_fields import InKey, keyed

MAX_FIELDS = 100
"""Heads with more fields go the long way; aiohttp refuses those with more than 128."""
SHAPES = 1024
"""How many orders of field names are remembered as they were looked through."""
END = b"\r\n\r\n"

Value = bytes | None
"""Of a field; None where the request has none of that name."""

_REQUEST_LINE = b"GET / HTTP/1.1\r\n"
"""Before the lines: their meaning depends on them alone."""
_ABSENT = b""
"""The name that no field has."""


class KeyFields(NamedTuple):
    """The header lines of one GET without a body."""

    exact: tuple[Value, ...]
    """The values of the fields that count as received."""
    decisive: tuple[Value, ...]
    """The values of the fields that rules look at, in the order of `request_fields`."""


class _Plan(NamedTuple):
    """Where the fields that matter are, in a head whose fields have certain names."""

    exact: Callable[[dict[bytes, Value]], tuple[Value, ...]]
    decisive: Callable[[dict[bytes, Value]], tuple[Value, ...]]
    connection: bytes


class FieldReader:
    """Reads header lines. What is unusual in any way is not read: aiohttp has the last word on it.

    The parser hands every field to a method of a dict, and no Python runs for it: a name that comes twice is seen by
    the count. Which names matter is found out once for all heads with the same names in the same order.
    """

    def __init__(self) -> None:
        self._fields: dict[bytes, Value] = {}
        self._is_whole = False
        self._events = _Events(self._fields.setdefault, self._end)
        self._parser = httptools.HttpRequestParser(self._events)
        self._plan = lru_cache(SHAPES)(_plan)

    def read(self, lines: bytes) -> KeyFields | None:
        """Read all lines behind the first, and the empty one; None for anything else."""
        if lines.find(END) != len(lines) - len(END):
            return None
        self._is_whole = False
        self._fields.clear()
        self._fields[_ABSENT] = None
        with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._parser.feed_data(_REQUEST_LINE + lines)
        found = self._found(lines.count(b"\r\n")) if self._is_whole else None
        if found is None:  # a parser that was not content takes no more
            self._parser = httptools.HttpRequestParser(self._events)
        return found

    def _found(self, count: int) -> KeyFields | None:
        """Take out what matters. With the empty one there is a line for each field and for `_ABSENT`."""
        fields = self._fields
        plan = self._plan(tuple(fields)) if len(fields) == count else None
        if plan is None or fields[plan.connection] not in _KEPT:
            return None
        return KeyFields(plan.exact(fields), plan.decisive(fields))

    def _end(self) -> None:
        self._is_whole = True


class _Events:
    """Where httptools puts what it reads."""

    def __init__(self, on_header: Any, on_message_complete: Any) -> None:  # noqa: ANN401 - httptools'
        self.on_header = on_header
        self.on_message_complete = on_message_complete


_KEPT = (None, b"keep-alive", b"Keep-Alive")
_NEVER = frozenset(name.lower().encode() for name in keyed(InKey.NEVER))
_CONNECTION = frozenset(name.lower().encode() for name in keyed(InKey.KEEP_ALIVE))


def _plan(names: tuple[bytes, ...]) -> _Plan | None:
    """Look through the names of a head's fields; None for heads that go the long way whatever their values are."""
    spelled = {name.lower(): name for name in names}
    of_connection = spelled.keys() & _CONNECTION
    if len(spelled) < len(names) or len(names) > MAX_FIELDS or spelled.keys() & _NEVER or len(of_connection) > 1:
        return None
    if b"host" not in spelled:
        return None
    connection = spelled[of_connection.pop()] if of_connection else _ABSENT
    return _Plan(_getter(spelled, InKey.VALUE), _getter(spelled, InKey.OUTCOME), connection)


def _getter(spelled: dict[bytes, bytes], in_key: InKey) -> Any:  # noqa: ANN401 - operator has no narrower type
    return itemgetter(*(spelled.get(name.lower().encode(), _ABSENT) for name in keyed(in_key)))
