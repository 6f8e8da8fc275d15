"""Server-sent events, in whatever pieces they come."""

from __future__ import annotations

from collections import deque
from itertools import repeat

import pytest

from proxy.domain.errors import UpstreamError
from proxy.upstream.server_sent_events import MAX_EVENT_BYTES, EventParser, ServerSentEvent

STREAM = 'event:subscribed\ndata:<nil>\n\nevent:event\ndata:{"from":"/日.png"}\n\nevent:keep-alive\ndata:<nil>\n\n'
HEARD = [("subscribed", "<nil>"), ("event", '{"from":"/日.png"}'), ("keep-alive", "<nil>")]
"""As gin writes them."""


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_events_are_the_same_in_any_pieces(size: int, end: str) -> None:
    parser, raw = EventParser(), STREAM.replace("\n", end).encode()
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    assert [event for piece in pieces for event in parser.feed(piece)] == HEARD


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("data: a\ndata:b\n\n", ServerSentEvent("message", "a\nb")),
        (": a comment\nid: 7\nretry: 3\nevent: x\ndata:  y\n\n", ServerSentEvent("x", " y")),
        ("data\n\n", ServerSentEvent("message", "")),
    ],
)
def test_fields_are_read_as_the_standard_says(text: str, event: ServerSentEvent) -> None:
    """One blank behind the colon does not count; what is no field of ours is left out."""
    assert EventParser().feed(text.encode()) == [event]


def test_an_event_without_data_is_none() -> None:
    assert EventParser().feed(b"event: x\n\ndata: y\n\n") == [ServerSentEvent("message", "y")]


@pytest.mark.parametrize("line", [b"data:" + b"x" * 1000 + b"\n", b"x" * 1000])
def test_an_event_that_does_not_end_is_refused(line: bytes) -> None:
    parser, pieces = EventParser(), repeat(line, MAX_EVENT_BYTES // 1000 + 2)
    with pytest.raises(UpstreamError):
        deque(map(parser.feed, pieces))
