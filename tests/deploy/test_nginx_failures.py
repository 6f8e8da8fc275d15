"""Visitors see as little as possible of gateways that fail."""

from __future__ import annotations

import pytest
from aiohttp import web

from tests.deploy.backend import Backend
from tests.deploy.visitor import THUMB, Visitor

pytestmark = pytest.mark.needs("nginx")


@pytest.mark.parametrize("target", [THUMB, "/thumb/s/c2VhbGVk", "/api/v4/file/thumb?uri=x", "/session"])
async def test_without_any_gateway_visitors_are_asked_to_come_again(
    gateways: list[Backend], visitor: Visitor, target: str
) -> None:
    """As a gateway would say it (RFC 9457); Cloudreve is still there."""
    for gateway in gateways:
        await gateway.stop()
    for _ in range(2):
        answer = await visitor.get(target)
        assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert (answer.headers["Retry-After"], answer.headers["Cache-Control"]) == ("2", "no-store")
    assert (await visitor.get("/")).status == 200


async def test_the_gateways_own_errors_are_their_own(gateways: list[Backend], visitor: Visitor) -> None:
    """502, 503 and 504 with a problem's body come through as they are, and from one gateway alone."""
    for status in (502, 503, 504):
        for gateway in gateways:
            gateway.requests.clear()
            gateway.status, gateway.body, gateway.headers = status, b"{}", {"Retry-After": "7"}
        answer = await visitor.get()
        assert (answer.status, answer.body, answer.headers["Retry-After"]) == (status, b"{}", "7")
        assert sum(len(gateway.requests) for gateway in gateways) == 1


async def test_a_gateway_that_hangs_up_is_replaced(gateways: list[Backend], visitor: Visitor) -> None:
    """For GET and for sessions, which may be asked twice; no visitor sees it."""

    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    for method, target in (("GET", THUMB), ("POST", "/session")):
        [first] = await _asked(gateways, visitor, method, target)
        first.answering = hang_up
        answer = await visitor.send(method, target)
        assert (answer.status, answer.headers["X-Backend"] == first.name) == (200, False)
        first.answering = None


async def _asked(gateways: list[Backend], visitor: Visitor, method: str, target: str) -> list[Backend]:
    for gateway in gateways:
        gateway.requests.clear()
    await visitor.send(method, target)
    return [gateway for gateway in gateways if gateway.requests]
