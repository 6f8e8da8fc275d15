"""Every fault, as a client meets it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable

import aiohttp
import pytest
from yarl import URL

from proxy.standin import faults
from proxy.standin.calls import Verb
from proxy.standin.faults import Drip, Encoded, Fault, Half, Hang, Huge, Reset, Truncated
from proxy.standin.standin import StandIn
from tests.harness.cloudreve_targets import Client, Reply

ONE = "cloudreve://my/album/one.png"


@pytest.fixture
async def url(client: Client) -> str:
    return (await client.resolve(ONE, client.target.alice)).url


async def _ask(client: Client, verb: Verb, url: str) -> Reply:
    if verb == "fetch":
        return await client.fetch(url)
    if verb == "resolve":
        return await client.resolve(ONE, client.target.alice)
    return await client.send(
        "GET", "/api/v4/session/oauth/userinfo", {"Authorization": f"Bearer {client.target.alice}"}
    )


@pytest.mark.parametrize("verb", ["resolve", "whoami", "fetch"])
@pytest.mark.parametrize("make", [Reset, Half, Truncated, lambda: Reset(10)])
async def test_connections_break(
    cloudreve: StandIn, client: Client, url: str, make: Callable[[], Fault], verb: Verb
) -> None:
    """Before, within and at the end of an answer; the calls have no outcome."""
    cloudreve.fail(verb, make())

    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
        await _ask(client, verb, url)
    await cloudreve.calls.ended(verb)
    assert cloudreve.calls.of(verb)[-1].code is None
    assert cloudreve.calls.of(verb)[-1].fault


@pytest.mark.parametrize("verb", ["resolve", "whoami", "fetch"])
@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (faults.json_body('{"code":50001,"msg":"x"}'), 200, b'{"code":50001,"msg":"x"}'),
        (faults.json_body("null"), 200, b"null"),
        (faults.json_body('{"code":'), 200, b'{"code":'),
        (faults.svg(), 200, faults.SVG),
        (faults.error_page(200), 200, faults.HTML),
        (faults.error_page(500), 500, faults.HTML),
        (faults.error_page(502), 502, faults.HTML),
        (faults.error_page(429), 429, faults.HTML),
    ],
)
async def test_other_things_are_said(
    cloudreve: StandIn, client: Client, url: str, fault: Fault, status: int, body: bytes, verb: Verb
) -> None:
    cloudreve.fail(verb, fault)

    reply = await _ask(client, verb, url)

    assert (reply.status, reply.body) == (status, body)


async def test_json_can_be_deep_and_huge(cloudreve: StandIn, client: Client, url: str) -> None:
    cloudreve.fail("fetch", faults.deep_json(), times=1)
    cloudreve.fail("fetch", faults.huge_json(), times=1)

    assert (await client.fetch(url)).body.startswith(b'{"code":0,"data":[[[[')
    assert len((await client.fetch(url)).body) > 20_000_000


async def test_a_redirect_leads_where_it_is_told(cloudreve: StandIn, client: Client, url: str) -> None:
    cloudreve.fail("fetch", faults.redirect("http://127.0.0.1:1/"))

    reply = await client.fetch(url)

    assert (reply.status, reply.headers["Location"]) == (302, "http://127.0.0.1:1/")


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_can_be_huge(cloudreve: StandIn, client: Client, url: str, announced: bool) -> None:
    """Its length announced or not; it begins like a picture."""
    cloudreve.fail("fetch", Huge(3_000_000, announced=announced))

    reply = await client.fetch(url)

    assert ("Content-Length" in reply.headers) is announced
    assert len(reply.body) == 3_000_000
    assert reply.body.startswith(b"\x89PNG\r\n\x1a\n")


async def test_a_content_coding_can_be_a_lie_or_the_truth(cloudreve: StandIn, client: Client, url: str) -> None:
    """`gzip` over plain bytes, or over what was never asked to be compressed."""
    plain = await client.fetch(url)
    cloudreve.fail("fetch", Encoded(), times=1)
    cloudreve.fail("fetch", Encoded(real=True), times=1)

    lie, truth = await client.fetch(url), await client.fetch(url)

    assert lie.headers["Content-Encoding"] == truth.headers["Content-Encoding"] == "gzip"
    assert lie.body == gzip.decompress(truth.body) == plain.body


async def test_an_answer_can_hang(cloudreve: StandIn, client: Client, url: str) -> None:
    hang = Hang()
    cloudreve.fail("fetch", hang, times=1)
    task = asyncio.create_task(client.fetch(url))
    await cloudreve.calls.arrived("fetch")

    assert not task.done()
    hang.until.set()
    assert (await task).body.startswith(b"\x89PNG")
    assert cloudreve.calls.count("fetch", code=0) == 1


async def test_a_client_may_leave_what_hangs(cloudreve: StandIn, client: Client, url: str) -> None:
    cloudreve.fail("fetch", Hang())
    task = asyncio.create_task(client.fetch(url))
    await cloudreve.calls.arrived("fetch")
    task.cancel()

    await cloudreve.calls.ended("fetch")
    assert cloudreve.calls.of("fetch")[0].left


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_can_drip(cloudreve: StandIn, client: Client, url: str, announced: bool) -> None:
    """The head comes at once, each part when it is released."""
    whole = (await client.fetch(url)).body
    drip = Drip(3, announced=announced)
    cloudreve.fail("fetch", drip)
    async with aiohttp.ClientSession() as session, session.get(URL(url, encoded=True)) as response:
        assert response.status == 200
        assert ("Content-Length" in response.headers) is announced
        drip.release()
        size = -(-len(whole) // 3)
        assert await response.content.readexactly(size) == whole[:size]
        drip.release(2)
        assert await response.content.read() == whole[size:]


async def test_faults_are_played_as_often_as_planned(cloudreve: StandIn, client: Client, url: str) -> None:
    """Some calls are spared first, and `mend` ends what lasts."""
    cloudreve.fail("fetch", faults.error_page(502), times=1, after=1)
    assert [(await client.fetch(url)).status for _ in range(3)] == [200, 502, 200]

    cloudreve.fail("fetch", faults.error_page(500), after=1)
    assert [(await client.fetch(url)).status for _ in range(3)] == [200, 500, 500]
    cloudreve.mend()
    assert (await client.fetch(url)).status == 200
