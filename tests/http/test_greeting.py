"""A visit of the gateway's own address."""

from __future__ import annotations

import pytest

from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, gateway_of

PERSON = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_a_person_is_told_on_a_page_what_this_is(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Under the same policy as the pages of errors, and with no link where Cloudreve's address is not known."""
    reply = await gateway.send("GET", "/", PERSON)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "/thumb?uri=" in reply.body.decode()
    assert "href" not in reply.body.decode()


async def test_the_page_leads_on_to_cloudreve(cloudreve: StandIn) -> None:
    public = {"public_origins": ["https://cloud.example.com", "https://old.example.com"]}
    async with gateway_of(cloudreve.own_url, cloudreve=public) as gateway:
        reply = await gateway.send("GET", "/", PERSON)
        assert '<a href="https://cloud.example.com/">' in reply.body.decode()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_program_gets_lines_of_text(method: str, gateway: GatewayClient) -> None:
    reply = await gateway.send(method, "/")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert ("/thumb?uri=" in reply.body.decode()) == (method == "GET")


async def test_with_pass_through_it_is_cloudreves_own_page(cloudreve: StandIn) -> None:
    async with gateway_of(cloudreve.own_url, server={"passthrough": True}) as gateway:
        assert "/thumb?uri=" not in (await gateway.send("GET", "/", PERSON)).body.decode()
