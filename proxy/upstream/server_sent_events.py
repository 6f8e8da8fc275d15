"""Server-sent events, parsed as the HTML standard says.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

Own code: aiohttp-sse-client2 (last release 2023) and httpx-sse bring clients that reconnect by themselves.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.domain.errors import UpstreamError

MAX_EVENT_BYTES = 256 * 1024
"""Cloudreve's events are an object of three texts; a path is 64 kB at most."""


class ServerSentEvent(NamedTuple):
    """One event."""

    name: str
    data: str


class EventParser:
    """Takes bytes as they come, and gives the events that they complete. Lines end with LF or CRLF."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take a chunk; raise UpstreamError for an event that is too large."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = [event for line in lines if (event := self._line(line.removesuffix(b"\r"))) is not None]
        if len(self._rest) + self._held_bytes > MAX_EVENT_BYTES:
            raise UpstreamError("An event of Cloudreve's is too large.")
        return found

    def _line(self, line: bytes) -> ServerSentEvent | None:
        """Take a line; an empty one ends an event, which is none without data."""
        if line:
            self._field(line)
            return None
        name, data = self._name, self._data
        self._name, self._data, self._held_bytes = "", [], 0
        return ServerSentEvent(name or "message", "\n".join(data)) if data else None

    def _field(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        if field == b"event":
            self._name = text
        elif field == b"data":
            self._data.append(text)
            self._held_bytes += len(value)
