"""Cloudreve's no: a true status with its code, kept for seconds where asking again would give the same."""

from __future__ import annotations

import asyncio

import pytest

from proxy.standin.faults import json_body
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Hours, in_share, statuses

SECONDS_KEPT = {400: 5, 401: 2, 402: 2, 403: 2, 404: 5}
STATUSES = {
    401: 401,
    403: 403,
    404: 404,
    40001: 400,
    40007: 403,
    40016: 404,
    40017: 403,
    40020: 401,
    40044: 404,
    40058: 404,
    40069: 403,
    40077: 404,
    40083: 402,
    40088: 401,
    40089: 403,
}
NOT_KEPT = {12345: 502, 50001: 502, 50005: 502}
"""Generation that failed may succeed, and nobody knows what an unknown code is about."""
GENERATING = (409, 40004, 40073, 50004)


def no(code: int) -> str:
    """Write the refusal as Cloudreve does, data of any kind included."""
    return f'{{"code":{code},"data":[{{"any":"thing"}}],"msg":"<b>secret</b>","correlation_id":"abc-123"}}'


@pytest.mark.parametrize(("code", "status"), STATUSES.items())
async def test_a_refusal_is_told_truly_and_kept_for_its_seconds(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours, code: int, status: int
) -> None:
    """Code and correlation id are passed on, its words are not; Cloudreve is left alone for seconds, and no more."""
    cloudreve.fail("resolve", json_body(no(code)))
    first = await gateway.ask(in_share(cloudreve))
    assert (first.status, first.problem["code"], first.problem["correlation_id"]) == (status, code, "abc-123")
    assert "secret" not in first.body.decode()
    assert (first.status == 401) == (first.headers.get("WWW-Authenticate") == 'Bearer realm="cloudreve"')
    hours.pass_by(SECONDS_KEPT[status] - 0.5)
    again = (await gateway.ask(in_share(cloudreve))).problem
    assert again | {"request_id": ""} == first.problem | {"request_id": ""}
    assert cloudreve.calls.count("resolve") == 1
    hours.pass_by(1)
    cloudreve.mend()
    assert (await gateway.ask(in_share(cloudreve))).status == 200


@pytest.mark.parametrize(("code", "status"), NOT_KEPT.items())
async def test_a_refusal_that_may_change_at_any_moment_is_not_kept(
    cloudreve: StandIn, gateway: GatewayClient, code: int, status: int
) -> None:
    cloudreve.fail("resolve", json_body(no(code)), times=1)
    reply = await gateway.ask(in_share(cloudreve))
    assert (reply.status, reply.problem["code"]) == (status, code)
    assert (await gateway.ask(in_share(cloudreve))).status == 200


async def test_a_thumbnail_that_could_not_be_made_is_asked_for_once_more(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    """A file that was still being uploaded has one then; a file without one is told at once."""
    cloudreve.fail("resolve", json_body(no(-1)), times=1)
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    cloudreve.library.put(cloudreve.library.alice, "/album/notes.jpg", picture=False)
    reply = await gateway.ask(in_share(cloudreve, "notes.jpg"))
    assert (reply.status, reply.problem["code"]) == (404, 40077)


async def test_an_original_that_cannot_be_read_is_no_missing_thumbnail(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    """503 with a time to come again, for everybody who asks; Cloudreve tries it twice every other second, no more."""
    cloudreve.library.file("/album/one.png").is_unreadable = True
    replies = [await gateway.ask(in_share(cloudreve)) for _ in range(5)]
    assert statuses(replies) == [503] * 5
    assert {(reply.problem["detail"], reply.problem["code"]) for reply in replies} == {
        ("Cloudreve cannot read this file.", -1)
    }
    assert {reply.headers["Retry-After"] for reply in replies} == {"2"}
    assert cloudreve.calls.count("resolve") == 2
    assert (await gateway.ask(in_share(cloudreve), cloudreve.token("bob"))).status == 503
    assert cloudreve.calls.count("resolve") == 4, "another visitor is refused by Cloudreve alone"


async def test_no_refusal_is_kept_where_the_configuration_says_so(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    gateway = await launcher.open(refusals={"not_found_s": 0, "denied_s": 0})
    for resolves in (1, 2):
        assert (await gateway.ask(in_share(cloudreve, "nope.png"))).status == 404
        assert cloudreve.calls.count("resolve") == resolves
    assert statuses([await gateway.ask(ONE), await gateway.ask(ONE)]) == [401, 401]
    assert cloudreve.calls.count("resolve") == 4


async def test_a_refusal_of_one_is_not_anothers(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Anonymous is refused, and alice, who asks for the same right afterwards, is not; nor the other way round."""
    assert (await gateway.ask(ONE)).status == 401
    assert (await gateway.ask(ONE, cloudreve.token("alice"))).status == 200
    assert (await gateway.ask(ONE, cloudreve.token("bob"))).status == 404
    assert (await gateway.ask(ONE)).status == 401


async def test_correlation_ids_are_bounded(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Nothing but letters, digits and hyphens gets through to bodies and logs."""
    cloudreve.fail("resolve", json_body('{"code":40016,"correlation_id":"<script>\\nX-Evil: 1"}'))
    assert "correlation_id" not in (await gateway.ask(in_share(cloudreve))).problem


@pytest.mark.parametrize("code", GENERATING)
async def test_a_thumbnail_that_is_being_generated_for_another_is_waited_for(
    cloudreve: StandIn, gateway: GatewayClient, code: int
) -> None:
    """Asked again after a moment, and once more: the visitor notices nothing."""
    cloudreve.fail("resolve", json_body(no(code)), times=2)
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    assert [call.fault for call in cloudreve.calls.of("resolve")] == ["Says", "Says", ""]


@pytest.mark.parametrize("code", GENERATING)
async def test_a_thumbnail_that_is_generated_for_too_long_is_told_and_not_kept(
    cloudreve: StandIn, launcher: GatewayLauncher, code: int
) -> None:
    """503 with Retry-After by the deadline, with the code; the next request asks again."""
    gateway = await launcher.open(server={"deadline_s": 1.5})
    cloudreve.fail("resolve", json_body(no(code)))
    reply = await gateway.ask(in_share(cloudreve))
    assert (reply.status, reply.headers["Retry-After"], reply.problem["code"]) == (503, "2", code)
    assert cloudreve.calls.count("resolve") > 1
    cloudreve.mend()
    assert (await gateway.ask(in_share(cloudreve))).status == 200


async def test_a_waiter_with_time_left_boards_the_next_flight(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """The flight gives up at its first visitor's deadline; who came later gets the picture all the same."""
    gateway = await launcher.open(server={"deadline_s": 1.5})
    cloudreve.fail("resolve", json_body(no(40073)))
    early = asyncio.create_task(gateway.ask(in_share(cloudreve)))
    await cloudreve.calls.arrived("resolve", 4)  # 0.3 s at least have passed
    late = asyncio.create_task(gateway.ask(in_share(cloudreve)))
    assert (await early).status == 503
    cloudreve.mend()
    assert (await late).status == 200


@pytest.mark.parametrize("checks_here", [False, True])
async def test_a_banned_user_is_refused_with_403(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, *, checks_here: bool
) -> None:
    """By whoami, and by resolve where tokens are checked with the site's secret key; others are served as before."""
    key = {"secret_key": cloudreve.secret} if checks_here else {}
    gateway = await launcher.open(cloudreve=key, identity={"ttl_s": 10.0}, grants={"max_ttl_s": 10.0, "margin_s": 0.0})
    token = cloudreve.token(life_s=7200)
    assert (await gateway.ask(ONE, token)).status == 200
    cloudreve.banned.add(cloudreve.library.alice.id)
    hours.pass_by(15)
    for _ in range(3):
        reply = await gateway.ask(ONE, token)
        assert (reply.status, reply.problem["code"]) == (403, 50001)
    assert (await gateway.ask(in_share(cloudreve), cloudreve.token("bob"))).status == 200
    assert cloudreve.calls.count("whoami") + cloudreve.calls.count("resolve") <= 8
    cloudreve.banned.clear()
    hours.pass_by(3)
    assert (await gateway.ask(ONE, token)).status == 200


async def test_a_database_that_is_away_is_no_ban(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Cloudreve says the same of every token then; the visitor is told to come again."""
    away = json_body('{"code":50001,"msg":"failed to get login user","correlation_id":"abc-123"}')
    cloudreve.fail("whoami", away)
    reply = await gateway.ask(ONE, cloudreve.token())
    assert (reply.status, "Retry-After" in reply.headers) == (503, True)
