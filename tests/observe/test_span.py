"""Spans: every step says once how it ended, and all who listen hear the same."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from proxy.domain.errors import TooSlow
from proxy.observe.span import Kind, Observer, Span
from proxy.observe.span_log import SpanLog
from proxy.standin.standin import StandIn
from tests.harness.gateways import gateway_of, in_share


class Listening:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []

    def begin(self, span: Span) -> None:
        """Note a begin."""
        self.heard.append(("begin", span.name, span.outcome))

    def end(self, span: Span) -> None:
        """Note an end."""
        assert span.seconds >= 0
        self.heard.append(("end", span.name, span.outcome))


def test_all_listeners_hear_of_begin_and_end_in_order() -> None:
    listeners = Listening(), Listening()
    observer = Observer(*listeners)
    with observer.span("picture"), observer.span("fetch", Kind.CALL, host="a") as fetch:
        fetch.note(received_bytes=3)
        fetch.outcome = "picture"
    begun = [("begin", "picture", ""), ("begin", "fetch", "")]
    ended = [("end", "fetch", "picture"), ("end", "picture", "ok")]
    assert [listener.heard for listener in listeners] == [[*begun, *ended]] * 2
    assert (fetch.fields, fetch.kind) == ({"host": "a", "received_bytes": 3}, Kind.CALL)


@pytest.mark.parametrize(
    ("error", "told", "outcome"),
    [
        (TooSlow("x"), "", "too_slow"),
        (TooSlow("x"), "picture", "too_slow"),
        (ValueError("x"), "", "error"),
        (ValueError("x"), "failed", "failed"),
        (asyncio.CancelledError(), "", "error"),
    ],
)
def test_an_error_is_its_outcome_and_goes_on(error: BaseException, told: str, outcome: str) -> None:
    """Of a ProxyError the category; of others what the step says, never the message."""
    listener = Listening()

    def step() -> None:
        with Observer(listener).span("fetch") as span:
            span.outcome = told
            raise error

    with pytest.raises(type(error)) as caught:
        step()
    assert caught.value is error
    assert listener.heard[-1] == ("end", "fetch", outcome)


def test_the_log_has_a_line_for_each_span() -> None:
    with capture_logs() as told, Observer(SpanLog()).span("encode", format="webp") as span:
        span.note(size_bytes=7)
    (line,) = told
    assert line["ms"] >= 0
    assert line == {
        "event": "span",
        "log_level": "debug",
        "span": "encode",
        "outcome": "ok",
        "format": "webp",
        "size_bytes": 7,
        "ms": line["ms"],
    }


async def test_each_step_of_a_cold_request_is_a_span_within_the_request() -> None:
    """Inner ones end first; nothing in them names the file."""
    async with (
        StandIn(size=(40, 30)) as site,
        gateway_of(site.own_url, log={"level": "debug"}, pictures={"encode_wait_s": 20}) as gateway,
    ):
        with capture_logs() as told:
            reply = await gateway.ask(in_share(site), Accept="image/webp")
    assert reply.status == 200
    lines = [entry for entry in told if entry["event"] == "span"]
    assert {line["outcome"] for line in lines} <= {"ok", "grant", "picture", "done", "miss", "owner"}
    names = [line["span"] for line in lines]
    assert set(names) >= {
        *("identify", "authorise", "resolve", "picture", "lookup", "fetch", "encode", "respond", "request"),
    }
    assert names.index("resolve") < names.index("authorise") < names.index("picture") < names.index("respond")
    assert names[-1] == "request"
    assert all(secret not in str(lines) for secret in ("album", "cloudreve://", "sign="))
