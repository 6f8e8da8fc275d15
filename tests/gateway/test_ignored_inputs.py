"""Fields that Cloudreve ignores in a request are in no key and go nowhere: they cost neither a grant nor a resolve."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.standin.faults import Reset
from proxy.standin.library import Share
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Reply, in_share
from tests.harness.redis_server import RedisServer

MANY = 50


@pytest.fixture
def protected(cloudreve: StandIn) -> Share:
    """Share alice's album with a password and for sale."""
    return cloudreve.library.publish(cloudreve.library.alice, "/album", password="pw123", ticket="bought")


async def flood(gateway: GatewayClient, ask: Callable[[int], tuple[str, dict[str, str]]]) -> set[int]:
    """Ask many times, each time with something else that Cloudreve ignores, and give the statuses."""
    replies: list[Reply] = []
    for number in range(MANY):
        uri, headers = ask(number)
        replies.append(await gateway.ask(uri, **headers))
    return {reply.status for reply in replies}


@pytest.mark.parametrize("ignored", ["query", "password", "ticket", "all"])
async def test_an_ignored_part_of_a_share_request_makes_no_grant_of_its_own(
    cloudreve: StandIn, gateway: GatewayClient, ignored: str
) -> None:
    share = cloudreve.library.share.id
    spelt: dict[str, Callable[[int], tuple[str, dict[str, str]]]] = {
        "query": lambda number: (f"cloudreve://{share}@share/one.png?z={number}", {}),
        "password": lambda number: (f"cloudreve://{share}:p{number}@share/one.png", {}),
        "ticket": lambda number: (f"cloudreve://{share}@share/one.png", {"ticket": f"t{number}"}),
        "all": lambda number: (f"cloudreve://{share}:p{number}@share/one.png?z={number}", {"ticket": f"t{number}"}),
    }
    assert await flood(gateway, spelt[ignored]) == {200}
    assert cloudreve.calls.count("resolve") == 1
    call = cloudreve.calls.of("resolve")[0]
    assert (call.ticket, call.target) == ("", f"cloudreve://{share}@share/one.png")


async def test_a_user_s_own_files_have_neither_password_nor_ticket(cloudreve: StandIn, gateway: GatewayClient) -> None:
    token, mine = cloudreve.token(), cloudreve.library.alice.id
    assert (await gateway.ask(ONE, token)).status == 200
    for number in range(3):
        assert (await gateway.ask(f"{ONE}?z={number}", token, ticket=f"t{number}")).is_hit
        assert (await gateway.ask(f"cloudreve://{mine}:p{number}@my/album/one.png", token)).status == 200
    assert cloudreve.calls.count("resolve") == 2


async def test_password_and_ticket_count_where_cloudreve_asks_for_them(
    cloudreve: StandIn, gateway: GatewayClient, protected: Share
) -> None:
    """Wrong or missing they are refused as ever, before and after somebody had the right ones."""
    right, bare = f"cloudreve://{protected.id}:pw123@share/one.png", f"cloudreve://{protected.id}@share/one.png"
    wrong = f"cloudreve://{protected.id}:other@share/one.png"
    for _ in range(2):
        assert (await gateway.ask(bare, ticket="bought")).status == 403
        assert (await gateway.ask(wrong, ticket="bought")).status == 403
        assert (await gateway.ask(right)).status == 402
        assert (await gateway.ask(right, ticket="other")).status == 402
        assert (await gateway.ask(right, ticket="bought")).status == 200
    shown = await gateway.ask(right, ticket="bought")
    assert shown.is_hit
    assert shown.headers["Cache-Control"].startswith("private, ")


async def test_the_requirements_of_a_share_are_learnt_once(
    cloudreve: StandIn, gateway: GatewayClient, protected: Share
) -> None:
    """The first picture costs a resolve for each requirement, every other one a single resolve."""
    right = f"cloudreve://{protected.id}:pw123@share"
    assert (await gateway.ask(f"{right}/one.png", ticket="bought")).status == 200
    assert cloudreve.calls.count("resolve") == 3
    assert (await gateway.ask(f"{right}/two.png", ticket="bought")).status == 200
    assert cloudreve.calls.count("resolve") == 4


async def test_a_superfluous_ticket_leaves_a_public_picture_public(cloudreve: StandIn, gateway: GatewayClient) -> None:
    with_ticket, without = [await gateway.ask(in_share(cloudreve), **more) for more in ({"ticket": "t"}, {})]
    assert with_ticket.headers["Cache-Control"].startswith("public, ")
    assert without.is_hit
    assert "X-Cr-Purchase-Ticket" in without.headers["Vary"]


async def test_a_grant_with_a_password_counts_while_cloudreve_is_away(
    launcher: GatewayLauncher, cloudreve: StandIn, redis_server: RedisServer, protected: Share
) -> None:
    """Also for a gateway that does not know what the share requires, and finds the grant in Redis."""
    uri = f"cloudreve://{protected.id}:pw123@share/one.png"
    redis = {"url": redis_server.url}
    first, second = [await launcher.open(redis=redis, refusals={"denied_s": 0}) for _ in range(2)]
    assert (await first.ask(uri, ticket="bought")).status == 200
    cloudreve.fail("resolve", Reset())
    reply = await second.ask(uri, ticket="bought")
    assert (reply.status, reply.is_hit) == (200, True)
