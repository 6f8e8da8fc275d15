"""How often Redis is asked: what a cold miss and a hit of another replica's entry send over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from proxy.standin.standin import StandIn
from tests.gateway.test_cluster import leases
from tests.harness.gateways import ONE, GatewayLauncher, in_share, kept, until
from tests.harness.redis_server import RedisServer

END = "END-OF-WATCH"


@contextmanager
def watched(redis_server: RedisServer) -> Iterator[list[str]]:
    """Name the commands that Redis is sent meanwhile, in their order; those within scripts are not sent."""
    names: list[str] = []
    with redis_server.client() as client, client.monitor() as monitor:
        yield names
        redis_server.command("ECHO", END)
        while END not in (told := monitor.next_command())["command"]:
            if told["client_type"] != "lua" and ":changes " not in told["command"]:
                names.append(str(told["command"]).partition(" ")[0])


async def settled(redis_server: RedisServer, pictures: int) -> None:
    """Wait until what visitors do not wait for has been done."""
    await until(lambda: len(kept(redis_server, "p")) == pictures and not leases(redis_server))


def apart_from_the_test_s(names: list[str]) -> list[str]:
    return [name for name in names if name not in ("KEYS", "GET", "PING", "INFO")]


async def test_a_cold_miss_is_four_commands_two_of_which_are_waited_for(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """The grant is read and led in one, and left in one with the turn; so is the picture."""
    gateway = await launcher.open(redis={"url": redis_server.url, "timeout_s": 5.0})
    with watched(redis_server) as names:
        assert (await gateway.ask(in_share(cloudreve))).status == 200
        await settled(redis_server, 1)
    assert apart_from_the_test_s(names) == ["EVAL"] * 4


async def test_commands_within_scripts_are_counted_too(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    gateway = await launcher.open(redis={"url": redis_server.url, "timeout_s": 5.0})
    redis_server.command("CONFIG", "RESETSTAT")
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    await settled(redis_server, 1)
    stats = redis_server.info("commandstats")
    ours = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
    ours["eval"] -= ours.get("xrange", 0)  # the log of changes is read now and then
    assert {name: ours[name] for name in ("eval", "mget", "set", "del")} == {"eval": 4, "mget": 3, "set": 5, "del": 2}


async def test_a_hit_of_another_replica_costs_two_commands(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    first, second = [await launcher.open(redis={"url": redis_server.url, "timeout_s": 5.0}) for _ in range(2)]
    assert (await first.ask(in_share(cloudreve))).status == 200
    await settled(redis_server, 1)
    with watched(redis_server) as names:
        assert (await second.ask(in_share(cloudreve))).is_hit
    assert apart_from_the_test_s(names) == ["EVAL", "MGET"]


async def test_a_refusal_is_two_commands(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    gateway = await launcher.open(redis={"url": redis_server.url, "timeout_s": 5.0})
    with watched(redis_server) as names:
        assert (await gateway.ask(in_share(cloudreve, "nope.png"))).status == 404
        await until(lambda: not leases(redis_server))
    assert apart_from_the_test_s(names) == ["EVAL"] * 2


async def test_a_user_s_own_picture_takes_no_turn(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """Nobody else means the same file by its URI; whether the user has changed anything is known already."""
    gateway = await launcher.open(redis={"url": redis_server.url, "timeout_s": 5.0}, server={"passthrough": True})
    token = cloudreve.token("alice")
    with watched(redis_server) as names:
        assert (await gateway.ask(ONE, token)).status == 200
        await settled(redis_server, 1)
    assert apart_from_the_test_s(names) == ["EVAL"] * 4
