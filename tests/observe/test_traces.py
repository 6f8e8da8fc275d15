"""Traces, as a receiver of OpenTelemetry's protocol gets them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, gateway_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Receiver:
    """Takes spans in."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        app = web.Application()
        app.add_routes([web.post("/v1/traces", self._take)])
        self.server = TestServer(app)
        self.endpoint = ""

    async def _take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    def spans(self) -> Sequence[Any]:
        """Give all spans, in the order of their ends."""
        told = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        scopes = [scope for each in told for resource in each.resource_spans for scope in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    async with made.server:
        made.endpoint = str(made.server.make_url("/v1/traces"))
        yield made


async def traced(
    receiver: Receiver, *headers: dict[str, str], **server: object
) -> tuple[Sequence[Any], list[str], str]:
    """Ask for a picture by a gateway that traces, until it has sent all; give spans, resolves' traces, the token."""
    async with StandIn(size=(40, 30)) as cloudreve:
        token = cloudreve.token()
        sections: dict[str, Any] = {"trace": {"endpoint": receiver.endpoint}, "server": {"port": 0, **server}}
        async with gateway_of(cloudreve.own_url, **sections) as gateway:
            for fields in headers:
                assert (await gateway.ask(ONE, token, **fields)).status == 200
        calls = [call.headers["traceparent"] for call in cloudreve.calls.of("resolve")]
    return receiver.spans(), calls, token


async def test_each_step_is_a_span_of_the_trace_that_a_trusted_proxy_began(receiver: Receiver) -> None:
    """The request is below the proxy's span, steps below it, and Cloudreve is told."""
    spans, told, _ = await traced(receiver, {"traceparent": TRACEPARENT, "Accept": "image/webp"})
    own = [span for span in spans if span.trace_id.hex() == TRACE]
    named = {span.name: span for span in own}
    steps = {"request", "identify", "authorise", "resolve", "picture", "fetch", "encode", "respond"}
    assert steps <= named.keys()
    assert named["request"].parent_span_id.hex() == "b7ad6b7169203331"
    assert named["authorise"].parent_span_id == named["request"].span_id
    assert {trace.split("-")[1] for trace in told} == {TRACE}
    outcome = {each.key: each.value.string_value for each in named["request"].attributes}["outcome"]
    assert outcome == "miss"


async def test_a_visitors_own_trace_is_not_followed(receiver: Receiver) -> None:
    """A trace of our own begins; a trace that is none begins one as well."""
    spans, told, _ = await traced(receiver, {"traceparent": TRACEPARENT}, trusted_proxies=[])
    assert spans
    assert TRACE not in {span.trace_id.hex() for span in spans}
    assert TRACE not in "".join(told)


async def test_nothing_secret_is_in_a_trace(receiver: Receiver) -> None:
    spans, _, token = await traced(receiver, {})
    assert spans
    sent = b"".join(receiver.bodies)
    assert not [text for text in (token.encode(), b"album", b"one.png", b"://", b"sign=") if text in sent]


async def test_a_receiver_that_is_away_costs_no_request(receiver: Receiver) -> None:
    await receiver.server.close()
    spans, _, _ = await traced(receiver, {}, {})
    assert not spans
