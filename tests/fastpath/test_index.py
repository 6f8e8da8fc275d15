"""The hit path: what was answered is answered again without being read, and only as long as that is right."""

from __future__ import annotations

import gc
import tracemalloc
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from proxy.fastpath.entry import FinishedAnswer, HeadAndBody
from proxy.fastpath.index import FastPath
from proxy.fastpath.key import MAX_HEAD_BYTES
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.harness.browser import COOKIE, Browser
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Hours, in_share
from tests.harness.raw_client import Answer, Caller, bearer, calling, request
from tests.harness.redis_server import RedisServer

MANY = 40
SMALL: dict[str, object] = {"max_bytes": 60_000}
"""Room for a third of them."""


class AtOnce:
    """Counts the answers that were given without the request being read."""

    def __init__(self) -> None:
        self.count = 0

    async def during(self, caller: Caller, raw: bytes) -> tuple[Answer, bool]:
        """Ask, and tell whether it was answered at once."""
        before = self.count
        return await caller.ask(raw), self.count > before


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> AtOnce:
    watch, answer = AtOnce(), FastPath.answer

    def watched(self: FastPath, known: FinishedAnswer) -> HeadAndBody | None:
        wire = answer(self, known)
        watch.count += wire is not None
        return wire

    monkeypatch.setattr(FastPath, "answer", watched)
    return watch


async def heat(caller: Caller, at_once: AtOnce, raw: bytes) -> Answer:
    """Ask until the answer comes at once; give that answer."""
    for _ in range(4):
        answer, is_at_once = await at_once.during(caller, raw)
        if is_at_once:
            return answer
    raise AssertionError(answer)


def hang(cloudreve: StandIn) -> list[bytes]:
    """Put more pictures into a folder than a small memory tier holds; give their bytes."""
    bodies = [paint(number, 40, 30) for number in range(MANY)]
    for number, body in enumerate(bodies):
        cloudreve.library.put(cloudreve.library.alice, f"/many/{number}.png", thumbnail=body)
    return bodies


def many(token: str) -> list[bytes]:
    return [request(f"cloudreve://my/many/{number}.png", bearer(token)) for number in range(MANY)]


def shown(cloudreve: StandIn, path: str) -> bytes:
    """Give the bytes of a file's thumbnail."""
    thumbnail = cloudreve.library.file(path).thumbnail
    assert thumbnail is not None
    return thumbnail.read()


# What it gives.


async def test_the_fast_path_gives_what_the_long_way_gives(cloudreve: StandIn, caller: Caller, at_once: AtOnce) -> None:
    """The same fields, the same bytes; the first answers teach it."""
    raw = request(in_share(cloudreve))
    long = [await caller.ask(raw) for _ in range(2)]
    assert at_once.count == 0
    short, is_at_once = await at_once.during(caller, raw)
    assert is_at_once
    assert short.body == long[-1].body == shown(cloudreve, "/album/one.png")
    assert (short.status, short.lasting) == (200, long[-1].lasting)
    assert short.head.split(b"\r\n")[0] == long[-1].head.split(b"\r\n")[0]


async def test_the_fast_path_gives_304_as_the_long_way_does(
    cloudreve: StandIn, caller: Caller, at_once: AtOnce
) -> None:
    etag = (await caller.ask(request(in_share(cloudreve)))).value("ETag")
    raw = request(in_share(cloudreve), f"If-None-Match: {etag}")
    long = await caller.ask(raw)
    short = await heat(caller, at_once, raw)
    assert (short.status, short.body, short.lasting) == (304, b"", long.lasting)


async def test_seconds_are_counted(cloudreve: StandIn, hours: Hours, caller: Caller, at_once: AtOnce) -> None:
    """What is left of the grant grows less, and `Date` is the present."""
    raw = request(in_share(cloudreve))
    first = await heat(caller, at_once, raw)
    hours.pass_by(100)
    second, is_at_once = await at_once.during(caller, raw)
    assert is_at_once
    ages = [int(answer.value("Cache-Control").partition("max-age=")[2]) for answer in (first, second)]
    assert 99 <= ages[0] - ages[1] <= 101
    assert f"ttl={ages[1]};" in second.value("Cache-Status")
    dates = [parsedate_to_datetime(answer.value("Date")).timestamp() for answer in (first, second)]
    assert 99 <= dates[1] - dates[0] <= 101
    assert dates[1] == pytest.approx(hours.now(), abs=2)


async def test_a_clock_that_is_set_back_is_followed(
    cloudreve: StandIn, hours: Hours, caller: Caller, at_once: AtOnce
) -> None:
    raw = request(in_share(cloudreve))
    await heat(caller, at_once, raw)
    hours.pass_by(-600)
    answer = await caller.ask(raw)
    assert parsedate_to_datetime(answer.value("Date")).timestamp() == pytest.approx(hours.now(), abs=2)


async def test_every_request_counts_and_has_its_line(
    cloudreve: StandIn, gateway: GatewayClient, caller: Caller, at_once: AtOnce, log_entries: list[Any]
) -> None:
    raw = request(in_share(cloudreve))
    size = len((await heat(caller, at_once, raw)).body)
    for _ in range(10):
        await caller.ask(raw)
    assert at_once.count == 11
    assert gateway.count("requests_total", outcome="hit") == 12
    assert gateway.count("request_seconds_count", outcome="hit") == 12
    assert gateway.count("lookups_total", entry="grant", source="memory") == 12
    assert gateway.count("lookups_total", entry="picture", source="memory") == 12
    assert gateway.count("sent_bytes_total") == 13 * size
    lines = [entry for entry in log_entries if entry["event"] == "request" and entry["outcome"] == "hit"]
    assert len(lines) == 12
    told = {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "route": "/thumb",
        "status": 200,
        "outcome": "hit",
    }
    assert all(line == told | {"ms": line["ms"]} for line in lines)


async def test_one_sealed_url_is_answered_at_once_too(
    cloudreve: StandIn, launcher: GatewayLauncher, at_once: AtOnce
) -> None:
    gateway = await launcher.open(grants={"margin_s": 0.001, "renew_s": 0.0})
    reply = await gateway.send("GET", f"/api/v4/file/thumb?uri={in_share(cloudreve).replace('/', '%2F')}")
    path = reply.body.split(b'"url":"')[1].split(b'"')[0].decode()
    raw = f"GET {path[path.index('/thumb/s/') :]} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    async with calling(gateway) as caller:
        await heat(caller, at_once, raw)
        launcher.hours.pass_by(3601)
        late, is_at_once = await at_once.during(caller, raw)
    assert (late.status, is_at_once) == (410, False)


# Whom it gives it to.


async def test_tokens_that_differ_in_one_byte_are_two(cloudreve: StandIn, caller: Caller, at_once: AtOnce) -> None:
    """The forged one is refused however hot the other is."""
    token = cloudreve.token()
    forged = token[:-3] + ("x" if token[-3] != "x" else "y") + token[-2:]
    await heat(caller, at_once, request(ONE, bearer(token)))
    answers = [await at_once.during(caller, request(ONE, bearer(forged))) for _ in range(4)]
    assert {(answer.status, is_at_once) for answer, is_at_once in answers} == {(401, False)}


async def test_nobody_else_gets_a_hot_picture(cloudreve: StandIn, gateway: GatewayClient, at_once: AtOnce) -> None:
    """Neither another user nor anybody without a token, on the same connection or another."""
    uri = f"cloudreve://{cloudreve.library.alice.id}@my/album/one.png"
    hot = request(uri, bearer(cloudreve.token("alice")))
    async with calling(gateway) as one, calling(gateway) as other:
        await heat(one, at_once, hot)
        for caller in (one, other):
            assert (await caller.ask(request(uri, bearer(cloudreve.token("bob"))))).status == 403
            assert (await caller.ask(request(uri))).status == 401
            assert (await caller.ask(hot)).status == 200


async def test_forwarded_fields_count_from_trusted_proxies_only(
    cloudreve: StandIn, launcher: GatewayLauncher, at_once: AtOnce
) -> None:
    """The same bytes are another request when they come from elsewhere."""
    gateway = await launcher.open(server={"trusted_proxies": ["127.0.0.2/32"]})
    browser = Browser(gateway)
    await browser.sign_in(cloudreve.token())
    cookie = f"Cookie: __Host-{COOKIE}={browser.cookies[COOKIE]}"
    raw = request(ONE, cookie, "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https")
    async with calling(gateway, "127.0.0.2") as proxy, calling(gateway) as stranger:
        await heat(proxy, at_once, raw)
        refused, is_at_once = await at_once.during(stranger, raw)
        still = await proxy.ask(raw)
    assert (refused.status, is_at_once, still.status) == (401, False, 200)


# How long it gives it.


async def test_a_remembered_answer_ends_with_the_grant(
    cloudreve: StandIn, hours: Hours, caller: Caller, at_once: AtOnce
) -> None:
    raw = request(ONE, bearer(cloudreve.token(life_s=90_000)))
    await heat(caller, at_once, raw)
    cloudreve.library.remove(cloudreve.library.file("/album/one.png"))
    hours.pass_by(3595)
    answer, is_at_once = await at_once.during(caller, raw)
    assert (answer.status, is_at_once) == (404, False)


async def test_a_remembered_answer_ends_with_the_token(
    cloudreve: StandIn, hours: Hours, caller: Caller, at_once: AtOnce
) -> None:
    raw = request(ONE, bearer(cloudreve.token(life_s=100)))
    await heat(caller, at_once, raw)
    hours.pass_by(101)
    answer, is_at_once = await at_once.during(caller, raw)
    assert (answer.status, is_at_once) == (401, False)


async def test_a_token_is_looked_at_again_in_time(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, at_once: AtOnce
) -> None:
    """After `identity.ttl_s`."""
    gateway = await launcher.open(identity={"ttl_s": 60.0})
    async with calling(gateway) as caller:
        raw = request(ONE, bearer(cloudreve.token()))
        await heat(caller, at_once, raw)
        hours.pass_by(61)
        cloudreve.secret = "another key, which voids all tokens"
        answer, is_at_once = await at_once.during(caller, raw)
    assert (answer.status, is_at_once) == (401, False)


async def test_a_remembered_answer_ends_with_the_session(
    cloudreve: StandIn, gateway: GatewayClient, caller: Caller, at_once: AtOnce
) -> None:
    browser = Browser(gateway)
    await browser.sign_in(cloudreve.token())
    raw = request(ONE, f"Cookie: {COOKIE}={browser.cookies[COOKIE]}")
    await heat(caller, at_once, raw)
    await browser.send("DELETE", "/session")
    answer, is_at_once = await at_once.during(caller, raw)
    assert (answer.status, is_at_once) == (401, False)


async def test_a_grant_that_is_due_is_renewed(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, at_once: AtOnce
) -> None:
    """The hit path lets a request through for it, and goes on with the new grant."""
    gateway = await launcher.open(grants={"renew_s": 60.0})
    raw = request(in_share(cloudreve))
    async with calling(gateway) as caller:
        await heat(caller, at_once, raw)
        hours.pass_by(3535)
        _, is_at_once = await at_once.during(caller, raw)
        assert not is_at_once
        await cloudreve.calls.ended("resolve", 2)
        renewed = await heat(caller, at_once, raw)
    assert int(renewed.value("Cache-Control").partition("max-age=")[2]) > 3500


async def test_a_replaced_file_is_not_shown_any_more_once_it_is_known(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, at_once: AtOnce
) -> None:
    """The bytes have gone, the new fetch finds the grant void, and what rested on it has ended."""
    gateway = await launcher.open(pictures={"ttl_s": 100.0})
    raw, again = request(in_share(cloudreve)), request(in_share(cloudreve), "Accept: */*")
    async with calling(gateway) as caller:
        old = await heat(caller, at_once, raw)
        await heat(caller, at_once, again)
        cloudreve.library.put(cloudreve.library.alice, "/album/one.png", thumbnail=(new := paint(77, 40, 30)))
        hours.pass_by(101)
        answers = [await caller.ask(raw), await caller.ask(again), await caller.ask(again)]
    assert old.body != new
    assert [answer.body for answer in answers] == [new] * 3


async def test_a_picture_that_was_driven_out_is_neither_kept_nor_missed(
    cloudreve: StandIn, launcher: GatewayLauncher, at_once: AtOnce
) -> None:
    """Its bytes are the memory tier's; the next request brings them back."""
    bodies = hang(cloudreve)
    gateway, asked = await launcher.open(memory=SMALL), many(cloudreve.token())
    async with calling(gateway) as caller:
        await heat(caller, at_once, asked[0])
        for raw in asked[1:]:
            await caller.ask(raw)
        gc.collect()
        answer, is_at_once = await at_once.during(caller, asked[0])
    assert (answer.body, is_at_once) == (bodies[0], False)
    assert cloudreve.calls.count("fetch") == MANY + 1


async def test_an_answer_with_a_cookie_is_for_once_only(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, at_once: AtOnce
) -> None:
    """A visitor with an old session is given the renewed one each time, never by the hit path."""
    client: dict[str, object] = {"client_id": cloudreve.client.id, "client_secret": cloudreve.client.secret}
    here = cloudreve.client.redirect_uri.removesuffix("/session/callback")
    gateway = await launcher.open(server={"public_origin": here}, sign_in=client)
    browser = Browser(gateway)
    await browser.agree(cloudreve.own_url, cloudreve.token())
    raw = request(ONE, f"Cookie: {COOKIE}={browser.cookies[COOKIE]}")
    async with calling(gateway) as caller:
        await heat(caller, at_once, raw)
        hours.pass_by(3700)
        late = [await at_once.during(caller, raw) for _ in range(5)]
    assert [(len(answer.fields["Set-Cookie"]), is_at_once) for answer, is_at_once in late] == [(1, False)] * 5


async def test_visitors_who_are_to_go_elsewhere_are_told_so(
    cloudreve: StandIn, gateway: GatewayClient, caller: Caller, at_once: AtOnce
) -> None:
    """While draining every answer is the last of its connection."""
    raw = request(in_share(cloudreve))
    await heat(caller, at_once, raw)
    await gateway.running.drain(0.0)
    answer, is_at_once = await at_once.during(caller, raw)
    assert (answer.value("Connection"), is_at_once) == ("close", False), "on the connection that has asked before, too"
    for _ in range(4):
        async with calling(gateway) as late:
            answer, is_at_once = await at_once.during(late, raw)
            assert (answer.value("Connection"), is_at_once) == ("close", False)
            assert await late.rest() == b""


# What it is shared with.


async def test_a_picture_in_redis_is_shown_by_the_remembered_answer(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer, at_once: AtOnce
) -> None:
    """Without another look at the request, and without Cloudreve."""
    bodies = hang(cloudreve)
    gateway, asked = await launcher.open(memory=SMALL, redis={"url": redis_server.url}), many(cloudreve.token())
    async with calling(gateway) as caller:
        for _ in range(2):
            before = [await caller.ask(raw) for raw in asked]
        lookups = gateway.count("lookups_total", entry="picture", source="redis")
        answers = [await caller.ask(raw) for raw in asked]
    assert [answer.body for answer in answers] == bodies
    assert cloudreve.calls.count("fetch") == cloudreve.calls.count("resolve", code=0) == MANY
    assert gateway.count("lookups_total", entry="picture", source="redis") > lookups
    elsewhere = [number for number in range(MANY) if answers[number].value("Cache-Status").endswith("detail=redis")]
    assert len(elsewhere) > MANY / 2
    assert [answers[number].lasting for number in elsewhere] == [before[number].lasting for number in elsewhere]


async def test_other_bytes_under_the_same_name_are_not_shown_under_the_old_head(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer, at_once: AtOnce
) -> None:
    """A foreign picture may change: what another replica has fetched since goes with its own validator."""
    hang(cloudreve)
    cloudreve.foreign = True
    listed: dict[str, object] = {"image_hosts": [cloudreve.foreign_url.removeprefix("http://")]}
    here = await launcher.open(cloudreve=listed, redis={"url": redis_server.url}, memory=SMALL)
    there = await launcher.open(cloudreve=listed, redis={"url": redis_server.url})
    first, *others = many(token := cloudreve.token())
    async with calling(here) as caller:
        old = await heat(caller, at_once, first)
        for raw in others:
            await caller.ask(raw)
        cloudreve.library.repaint(cloudreve.library.file("/many/0.png"), new := paint(78, 40, 30))
        elsewhere = await there.ask(f"cloudreve://{cloudreve.library.alice.id}@my/many/0.png", token)
        answer = await caller.ask(first)
    assert (elsewhere.body, answer.body) == (new, new)
    assert elsewhere.etag == answer.value("ETag") != old.value("ETag")


# What it costs.


async def test_all_browsers_share_one_answer_of_a_public_picture(
    cloudreve: StandIn, gateway: GatewayClient, caller: Caller, at_once: AtOnce
) -> None:
    """The first request of each is a hit, whatever it says that changes no answer."""
    await heat(caller, at_once, request(in_share(cloudreve)))
    size_bytes = gateway.running.hits.size_bytes
    for number in range(50):
        assert (await at_once.during(caller, request(in_share(cloudreve), *browser(number))))[1]
    assert gateway.running.hits.size_bytes == size_bytes


def browser(number: int) -> list[str]:
    """Write what no two browsers have in common."""
    return [
        f"User-Agent: Mozilla/5.0 ({number})",
        f"Accept-Language: x-{number}",
        f"Cookie: theirs={number}",
        "Sec-Fetch-Site: same-origin",
        f"Referer: https://thumbs.example.com/home?path={number}",
        "Connection: keep-alive",
        f"X-Forwarded-For: 192.0.2.{number}",
        f"X-Number: {number}",
    ]


async def test_remembered_answers_are_bounded(cloudreve: StandIn, launcher: GatewayLauncher, at_once: AtOnce) -> None:
    gateway = await launcher.open(memory={"max_answers_bytes": 30_000})
    asked = [request(in_share(cloudreve), f'If-None-Match: "{number}"') for number in range(30)]
    async with calling(gateway) as caller:
        for raw in asked:
            await heat(caller, at_once, raw)
            assert gateway.running.hits.size_bytes <= 30_000
        assert gateway.running.hits.size_bytes > 25_000
        assert [(await at_once.during(caller, raw))[1] for raw in (asked[-1], asked[0])] == [True, False]


async def test_the_estimated_size_of_a_remembered_answer_is_its_size(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """Within a fifth, so that the bound means something."""
    gateway = await launcher.open(memory={"max_answers_bytes": 10_000_000})
    async with calling(gateway) as caller:
        asked = [request(in_share(cloudreve), f'If-None-Match: "{number}"') for number in range(250)]
        for raw in asked[:2] * 2:
            await caller.ask(raw)
        gateway.running.hits.forget()
        for raw in asked:  # what lines mean is remembered apart
            gateway.running.hits.key(raw, is_trusted=True)
        gc.collect()
        tracemalloc.start()
        for raw in asked * 2:
            await caller.ask(raw)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert gateway.running.hits.size_bytes == pytest.approx(taken, rel=0.2)


async def test_long_requests_go_the_long_way(cloudreve: StandIn, caller: Caller, at_once: AtOnce) -> None:
    raw = request(in_share(cloudreve), f"X-Long: {'x' * MAX_HEAD_BYTES}")
    answers = [await caller.ask(raw) for _ in range(4)]
    assert ({answer.status for answer in answers}, at_once.count) == ({200}, 0)


async def test_a_long_request_goes_the_long_way_although_each_part_of_it_was_read_before(
    cloudreve: StandIn, caller: Caller, at_once: AtOnce
) -> None:
    """Its target with fewer lines, and its lines with a shorter target."""
    lines, padding = f"X-Long: {'x' * 1500}", b"&x=" + b"y" * (MAX_HEAD_BYTES - 1000)
    short, long = (request(in_share(cloudreve), *more) for more in ([lines], []))
    await heat(caller, at_once, short)
    await heat(caller, at_once, long.replace(b" HTTP", padding + b" HTTP", 1))
    answer, is_at_once = await at_once.during(caller, short.replace(b" HTTP", padding + b" HTTP", 1))
    assert (answer.status, is_at_once) == (200, False)


async def test_one_visitor_s_requests_drive_no_answer_of_another_s_out(
    cloudreve: StandIn, launcher: GatewayLauncher, at_once: AtOnce
) -> None:
    """Each spelling of a request is one more answer to remember; what the flood cannot keep is its own."""
    gateway = await launcher.open(memory={"max_answers_bytes": 60_000})
    hot = request(in_share(cloudreve), "X-Forwarded-For: 192.0.2.1")
    async with calling(gateway) as modest, calling(gateway) as flood:
        await heat(modest, at_once, hot)
        for number in range(60):
            raw = request(in_share(cloudreve), "X-Forwarded-For: 192.0.2.2", f'If-None-Match: "{number}"')
            await heat(flood, at_once, raw)
        assert (await at_once.during(modest, hot))[1]
    assert gateway.running.hits.size_bytes <= 60_000


async def test_the_api_s_answer_is_given_at_once_too(
    cloudreve: StandIn, gateway: GatewayClient, caller: Caller, at_once: AtOnce, log_entries: list[Any]
) -> None:
    """As long as the grant is the same; cookies do not count there."""
    path = f"/api/v4/file/thumb?uri={in_share(cloudreve).replace('/', '%2F')}"
    raw = f"GET {path} HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\n\r\n".encode()
    long = [await caller.ask(raw) for _ in range(2)][-1]
    short, is_at_once = await at_once.during(caller, raw.replace(b"a=1", b"b=2"))
    assert is_at_once
    assert (short.status, short.body, short.lasting) == (200, long.body, long.lasting)
    assert gateway.count("requests_total", outcome="granted") == 3
    assert gateway.count("lookups_total", entry="grant", source="memory") == 2
    assert [entry["route"] for entry in log_entries if entry.get("outcome") == "granted"] == ["/api/v4/file/thumb"] * 3


async def test_the_api_s_answer_ends_with_the_grant(
    cloudreve: StandIn, launcher: GatewayLauncher, at_once: AtOnce
) -> None:
    gateway = await launcher.open()
    path = f"/api/v4/file/thumb?uri={in_share(cloudreve).replace('/', '%2F')}"
    raw = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    async with calling(gateway) as caller:
        old = await heat(caller, at_once, raw)
        launcher.hours.pass_by(3601)
        new, is_at_once = await at_once.during(caller, raw)
    assert not is_at_once
    assert new.body != old.body


async def test_a_script_of_another_origin_asks_the_api_the_long_way(
    cloudreve: StandIn, gateway: GatewayClient, caller: Caller, at_once: AtOnce
) -> None:
    path = f"/api/v4/file/thumb?uri={in_share(cloudreve).replace('/', '%2F')}"
    raw = f"GET {path} HTTP/1.1\r\nHost: x\r\nOrigin: https://other.example\r\n\r\n".encode()
    assert [(await at_once.during(caller, raw))[1] for _ in range(4)] == [False] * 4
