"""Sign-outs hold at every gateway that shares a Redis or a file, or the visitor is told that they do not yet."""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest

from proxy.domain.session import SessionRef
from proxy.sessions import sign_out_stores
from proxy.sessions.ended_sessions import MAX_SESSIONS
from proxy.sessions.sign_out_stores import FileStore, StoreFailed
from proxy.sessions.sign_outs import SignOuts
from proxy.standin.standin import StandIn
from proxy.upstream.clock import Clock
from tests.conftest import StartRedis
from tests.harness.browser import Browser
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Hours, in_share, kept
from tests.harness.redis_server import RedisServer
from tests.harness.relay import Relay

SEAL = {"keys": ["k" * 32]}
SOON_S = 2.0
"""After 204 a copy of the cookie counts nowhere any more."""
RedisFailure: TypeAlias = Callable[[RedisServer], object]


def shared(url: str, timeout_s: float = 0.25) -> dict[str, Any]:
    return {"redis": {"url": url, "timeout_s": timeout_s, "pause_s": 0.2}, "seal": SEAL}


async def signed_in(gateway: GatewayClient, cloudreve: StandIn, name: str = "alice") -> Browser:
    browser = Browser(gateway)
    await browser.sign_in(cloudreve.token(name))
    return browser


def copied(browser: Browser, gateway: GatewayClient) -> Browser:
    """Give a browser with a copy of the cookies, at another gateway."""
    copy = Browser(gateway)
    copy.cookies = dict(browser.cookies)
    return copy


async def becomes(status: int, ask: Callable[[], Awaitable[Any]], limit_s: float = 30.0) -> None:
    """Ask again and again until the answer has this status."""
    deadline = time.monotonic() + limit_s
    while (reply := await ask()).status != status:
        assert time.monotonic() < deadline, reply.status
        await asyncio.sleep(0.02)


def full(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.command("CONFIG", "SET", "maxmemory", "1")


TROUBLES: dict[str, tuple[RedisFailure, RedisFailure]] = {
    "frozen": (RedisServer.freeze, RedisServer.thaw),
    "killed": (RedisServer.kill, RedisServer.start),
    "read-only": (
        lambda server: server.command("REPLICAOF", "127.0.0.1", 1),
        lambda server: server.command("REPLICAOF", "NO", "ONE"),
    ),
    "full": (full, lambda server: server.command("CONFIG", "SET", "maxmemory", "0")),
}


@pytest.mark.parametrize("kind", TROUBLES)
async def test_a_sign_out_that_redis_does_not_take_is_503_until_it_holds(
    cloudreve: StandIn, launcher: GatewayLauncher, start_redis: StartRedis, kind: str
) -> None:
    """It holds here at once, everywhere as soon as Redis takes it, and only then is it 204."""
    server, (befall, mend) = start_redis(), TROUBLES[kind]
    first, second = await launcher.open(**shared(server.url)), await launcher.open(**shared(server.url))
    browser = await signed_in(first, cloudreve)
    here, there = copied(browser, first), copied(browser, second)
    await becomes(200, lambda: here.see(ONE))
    await becomes(200, lambda: there.see(ONE))
    await asyncio.to_thread(befall, server)
    reply = await browser.send("DELETE", "/session")
    assert (reply.status, "could not be told" in reply.problem["detail"]) == (503, True)
    assert int(reply.headers["Retry-After"]) > 0
    assert (await here.see(ONE)).status == 401
    await asyncio.to_thread(mend, server)
    await becomes(401, lambda: there.see(ONE))
    assert (await browser.send("DELETE", "/session")).status == 204
    for copy in (here, there):
        assert (await copy.see(ONE)).status == 401


async def test_after_204_no_replica_shows_anything_to_a_copy_of_the_cookie(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, redis_server: RedisServer
) -> None:
    """Within two seconds, also where it has just been believed."""
    sections = shared(redis_server.url, 5.0)
    first, second = await launcher.open(**sections), await launcher.open(**sections)
    browser = await signed_in(first, cloudreve)
    there = copied(browser, second)
    for _ in range(3):
        assert (await there.see(ONE)).status == 200
    assert (await browser.send("DELETE", "/session")).status == 204
    hours.pass_by(SOON_S)
    assert (await there.see(ONE)).status == 401
    assert (await copied(there, second).send("GET", "/session")).status == 401


async def test_a_replica_that_is_cut_off_refuses_cookies_and_shows_what_is_nobody_s_own(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, redis_server: RedisServer
) -> None:
    """It cannot hear of a sign-out that others have confirmed."""
    async with Relay(redis_server.port) as relay:
        first = await launcher.open(**shared(redis_server.url, 5.0))
        second = await launcher.open(**shared(f"redis://127.0.0.1:{relay.port}/0"))
        browser = await signed_in(first, cloudreve)
        there = copied(browser, second)
        await becomes(200, lambda: there.see(ONE))
        relay.shut()
        assert (await browser.send("DELETE", "/session")).status == 204
        hours.pass_by(SOON_S)
        reply = await there.see(ONE)
        assert (reply.status, "cannot be found out" in reply.problem["detail"]) == (503, True)
        assert int(reply.headers["Retry-After"]) > 0
        assert (await there.see(in_share(cloudreve))).status == 200
        assert (await second.ask(ONE, cloudreve.token())).status == 200


async def test_a_redis_that_was_emptied_is_told_again(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, redis_server: RedisServer
) -> None:
    """A gateway that starts then believes it only when those that remember have had their time."""
    sections = shared(redis_server.url, 5.0)
    first = await launcher.open(**sections)
    browser = await signed_in(first, cloudreve)
    copy = copied(browser, first)
    assert (await browser.send("DELETE", "/session")).status == 204
    redis_server.command("FLUSHALL")
    new = await launcher.open(**sections)
    assert (await copied(copy, new).see(ONE)).status == 401
    hours.pass_by(SOON_S)
    assert (await copied(copy, new).see(ONE)).status == 401


async def test_a_sign_out_outlives_a_restart_in_a_file(
    cloudreve: StandIn, launcher: GatewayLauncher, tmp_path: Path
) -> None:
    sections: dict[str, Any] = {"seal": SEAL, "session": {"state_path": str(tmp_path / "sign-outs")}}
    first = await launcher.open(**sections)
    browser = await signed_in(first, cloudreve)
    copy, other = copied(browser, first), await signed_in(first, cloudreve, "bob")
    assert (await browser.send("DELETE", "/session")).status == 204
    again = await launcher.open(**sections)
    assert (await copied(copy, again).see(ONE)).status == 401
    assert (await copied(other, again).send("GET", "/session")).status == 200


async def test_a_file_that_cannot_be_written_makes_sign_outs_503(
    cloudreve: StandIn, launcher: GatewayLauncher, tmp_path: Path
) -> None:
    """Cookies go on; when the file can be written again the sign-out is 204."""
    folder = tmp_path / "state"
    folder.mkdir()
    gateway = await launcher.open(seal=SEAL, session={"state_path": str(folder / "sign-outs")})
    (folder / "sign-outs.changes").unlink()
    folder.rmdir()
    browser = await signed_in(gateway, cloudreve)
    copy = copied(browser, gateway)
    assert (await copy.see(ONE)).status == 200
    assert (await browser.send("DELETE", "/session")).status == 503
    assert (await copy.see(ONE)).status == 401
    folder.mkdir()
    assert (await browser.send("DELETE", "/session")).status == 204


@pytest.mark.parametrize(
    ("sections", "warns"),
    [({"seal": SEAL}, True), ({}, False)],
    ids=["cookies outlive a restart", "no cookie does"],
)
async def test_the_log_says_at_start_when_a_restart_forgets_sign_outs(
    launcher: GatewayLauncher, log_entries: list[Any], sections: dict[str, Any], warns: bool
) -> None:
    """Where cookies end with the process there is nothing to forget."""
    await launcher.open(**sections)
    assert any("restart forgets sign-outs" in entry["event"] for entry in log_entries) is warns


async def test_an_old_cookie_s_second_sign_out_costs_nothing(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """Nothing is written, and no finished answer is lost by either but those of the session."""
    gateway = await launcher.open(**shared(redis_server.url, 5.0))
    public = in_share(cloudreve)
    for _ in range(4):
        await gateway.ask(public)
    browser = await signed_in(gateway, cloudreve)
    others = gateway.running.hits.size_bytes
    assert others > 0
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:  # a connection of its own
        seer = copied(browser, GatewayClient(gateway.running, session))
        for _ in range(4):
            assert (await seer.see(ONE)).status == 200
    assert gateway.running.hits.size_bytes > others
    old = copied(browser, gateway)
    assert (await browser.send("DELETE", "/session")).status == 204
    assert (await old.see(ONE)).status == 401
    assert gateway.running.hits.size_bytes == others
    [key] = kept(redis_server, "e:")
    written = redis_server.command("GET", key)
    for _ in range(10):
        assert (await copied(old, gateway).send("DELETE", "/session")).status == 204
    assert gateway.running.hits.size_bytes == others
    assert redis_server.command("GET", key) == written


async def test_many_sign_outs_of_one_user_take_no_more_room_in_redis(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """One value, of a size that does not grow; and another user's sign-out is still there."""
    gateway = await launcher.open(**shared(redis_server.url, 5.0))
    alice = await signed_in(gateway, cloudreve)
    old = copied(alice, gateway)
    assert (await alice.send("DELETE", "/session")).status == 204
    for _ in range(5):
        bobs = [await signed_in(gateway, cloudreve, "bob") for _ in range(20)]
        replies = await asyncio.gather(*(each.send("DELETE", "/session") for each in bobs))
        assert {reply.status for reply in replies} == {204}
    [key] = kept(redis_server, "e:")
    length = redis_server.command("STRLEN", key)
    assert isinstance(length, int)
    assert length < 150 * (MAX_SESSIONS + 2)
    assert (await copied(old, gateway).see(ONE)).status == 401


def test_sign_outs_of_others_push_no_sign_out_of_memory() -> None:
    sign_outs, clock = SignOuts((), Clock()), Clock()
    now = clock.now()
    alice = SessionRef("alice", "hers", now)
    sign_outs.end(alice, now + 3600)
    for number in range(20_500):
        sign_outs.end(SessionRef("bob", str(number), now + number), now + 3600)
    assert sign_outs.has_ended(alice)
    assert sign_outs.has_ended(SessionRef("bob", "0", now))
    assert not sign_outs.has_ended(SessionRef("bob", "new", now + 20_500))


async def test_a_file_that_another_process_has_locked_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been stopped in the middle; the threads that all share stay free."""
    monkeypatch.setattr(sign_out_stores, "_LOCK_S", 0.02)
    store = FileStore(tmp_path / "sign-outs")
    with (tmp_path / "sign-outs.lock").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        tried = await asyncio.gather(*(store.set(b"", b"x" * 16) for _ in range(40)), return_exceptions=True)
        assert {type(error) for error in tried} == {StoreFailed}
    assert await store.set(b"", b"x" * 16)
