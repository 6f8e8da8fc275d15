"""The log says why a request failed, and its answer names the line."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.domain.storage_errors import NotPublic
from proxy.standin import faults
from proxy.standin.faults import json_body
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, TWO, GatewayClient, GatewayLauncher, in_share

KEYS = {"keys": ["k" * 32]}
Lines = list[dict[str, Any]]


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    return await launcher.open()


def requests(log_entries: Lines) -> Lines:
    return [line for line in log_entries if line["event"] == "request"]


def warnings(log_entries: Lines) -> Lines:
    return [line for line in log_entries if line["event"] == "request failed"]


async def test_a_missing_public_origin_is_a_warning_that_says_why_and_what_to_do(
    cloudreve: StandIn, gateway: GatewayClient, log_entries: Lines
) -> None:
    """The likeliest mistake. The answer has the same request id in body and header."""
    cloudreve.site_url = "http://127.0.0.2:9"
    reply = await gateway.ask(in_share(cloudreve))
    [warning], [line] = warnings(log_entries), requests(log_entries)
    assert (reply.status, warning["status"], warning["log_level"]) == (502, 502, "warning")
    assert (warning["category"], warning["reason"]) == ("not_public", reply.problem["detail"])
    assert "not public" in warning["reason"]
    assert warning["advice"] == NotPublic.advice
    assert list(warning)[-3] == "advice", "the line ends with what to do"
    names = {warning["request_id"], line["request_id"], reply.problem["request_id"], reply.headers["X-Request-Id"]}
    assert len(names) == 1
    assert warning["storage"] == "127.0.0.2:9"
    assert "sign=" not in str(log_entries)


async def test_cloudreves_code_and_correlation_id_are_told(
    cloudreve: StandIn, gateway: GatewayClient, log_entries: Lines
) -> None:
    """Of what it refuses with a code that is not known, and of what an image URL answers."""
    cloudreve.fail("resolve", json_body('{"code":59999,"correlation_id":"id-1"}'), times=1)
    await gateway.ask(in_share(cloudreve))
    cloudreve.fail("fetch", json_body('{"code":40071,"correlation_id":"id-2"}'))
    await gateway.ask(in_share(cloudreve))
    told = [(line["code"], line["correlation_id"]) for line in warnings(log_entries)]
    assert told == [(59999, "id-1"), (40071, "id-2")]


async def test_a_page_and_cloudreves_own_api_name_the_request_too(
    cloudreve: StandIn, gateway: GatewayClient, log_entries: Lines
) -> None:
    """The page shows the id to a person, the API has it in the header alone."""
    cloudreve.fail("resolve", faults.error_page(500))
    uri = in_share(cloudreve)
    page = await gateway.ask(uri, Accept="text/html")
    api = await gateway.send("GET", f"/api/v4/file/thumb?uri={uri}")
    first, second = (line["request_id"] for line in requests(log_entries))
    assert (page.headers["X-Request-Id"], api.headers["X-Request-Id"]) == (first, second)
    assert first in page.body.decode()


async def test_repeated_failures_are_one_warning_and_each_request_keeps_its_line(
    cloudreve: StandIn, gateway: GatewayClient, log_entries: Lines
) -> None:
    """So that each complaint can be followed."""
    cloudreve.fail("resolve", faults.error_page(500))
    replies = [await gateway.ask(in_share(cloudreve)) for _ in range(5)]
    assert len(warnings(log_entries)) == 1
    assert [line["request_id"] for line in requests(log_entries)] == [r.headers["X-Request-Id"] for r in replies]


async def test_file_and_visitor_are_found_again_by_their_digests(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: Lines
) -> None:
    """At every replica, with another token of the same user; neither is readable."""
    cloudreve.fail("resolve", faults.error_page(500))
    one, other = await launcher.open(seal=KEYS), await launcher.open(seal=KEYS)
    alice, again, bob = cloudreve.token(), cloudreve.token(life_s=1234), cloudreve.token("bob")
    for gateway, uri, token in ((one, ONE, alice), (other, ONE, again), (one, TWO, alice), (one, ONE, bob)):
        await gateway.ask(uri, token)
    a, b, c, d = requests(log_entries)
    assert (a["file"], a["visitor"]) == (b["file"], b["visitor"])
    assert (a["visitor"] == c["visitor"], a["file"] == c["file"]) == (True, False)
    assert (a["visitor"] == d["visitor"], a["file"] == d["file"]) == (False, False)


async def test_a_visitors_address_is_told_where_the_settings_say_so(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: Lines
) -> None:
    cloudreve.fail("resolve", faults.error_page(500))
    for gateway in (await launcher.open(), await launcher.open(log={"client_address": True})):
        await gateway.ask(in_share(cloudreve), X_Forwarded_For="203.0.113.7")
    assert [line.get("client") for line in requests(log_entries)] == [None, "203.0.113.7"]
    assert "203.0.113.7" not in str(warnings(log_entries)[0])


async def test_errors_alone_are_told_where_the_settings_say_so(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: Lines
) -> None:
    """Neither a miss nor a hit of the fast path has a line then."""
    gateway = await launcher.open(log={"requests": "errors"})
    for _ in range(3):
        await gateway.ask(in_share(cloudreve))
    await gateway.ask("nonsense")
    assert [line["outcome"] for line in requests(log_entries)] == ["bad_request"]


async def test_a_visitor_s_mistake_is_no_warning(
    cloudreve: StandIn, gateway: GatewayClient, log_entries: Lines
) -> None:
    replies = [await gateway.ask(uri) for uri in (ONE, "nonsense", in_share(cloudreve, "absent.png"))]
    assert [reply.status for reply in replies] == [401, 400, 404]
    assert warnings(log_entries) == []
    assert requests(log_entries)[2]["code"] == 40016


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/v4/share/info/S3CRET", "/api/v4/share/info/{}"),
        ("/S3CRET", "/*"),
        ("/api/v4/site/ping", "/api/v4/site/ping"),
    ],
)
async def test_a_request_that_is_passed_is_told_by_cloudreves_route(
    launcher: GatewayLauncher, log_entries: Lines, path: str, route: str
) -> None:
    gateway = await launcher.open(server={"passthrough": True})
    await gateway.send("GET", path)
    [line] = requests(log_entries)
    assert (line["outcome"], line["route"]) == ("pass", route)
    assert "S3CRET" not in str(log_entries)


async def test_a_failure_of_cloudreves_own_that_is_passed_is_a_warning(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: Lines
) -> None:
    gateway = await launcher.open(server={"passthrough": True})
    cloudreve.fail("ping", faults.error_page(503))
    reply = await gateway.send("GET", "/api/v4/site/ping")
    [warning] = warnings(log_entries)
    assert (reply.status, warning["status"], warning["category"]) == (503, 503, "pass")
    assert "X-Request-Id" not in reply.headers
