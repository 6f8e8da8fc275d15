"""The site as visitors reach it: a gateway with nothing in front, or with a proxy that does something wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from proxy.doctor.finding import Finding, Verdict
from proxy.doctor.front import examine_front, examine_trust
from proxy.settings import Settings
from proxy.standin.standin import StandIn
from tests.harness.gateways import gateway_of, settings_for
from tests.harness.redis_server import free_port

Answer = Callable[[web.Request], Awaitable[web.Response]]


async def examined(settings: Settings, uri: str | None = None) -> list[Finding]:
    async with aiohttp.ClientSession() as session:
        return await examine_front(settings, session, uri)


@pytest.fixture
def uri(cloudreve: StandIn) -> str:
    return f"cloudreve://{cloudreve.library.share.id}@share/one.png"


@asynccontextmanager
async def proxied(answer: Answer) -> AsyncIterator[str]:
    """Run something in the place of a reverse proxy, and give its address."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def said_by(answer: Answer, uri: str, **server: object) -> list[Finding]:
    async with proxied(answer) as address:
        public = {"public_origins": [address]}
        return await examined(settings_for("http://127.0.0.1:1", cloudreve=public, server=server), uri)


def handing_on(base: str, **fields: str) -> Answer:
    """Make a reverse proxy that hands all on to a gateway, with fields of its own."""

    async def hand_on(request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name != "Host"} | fields
        async with aiohttp.ClientSession() as session, session.get(base + request.path_qs, headers=headers) as got:
            kept = {name: got.headers[name] for name in ("Cache-Status", "X-Request-Id") if name in got.headers}
            kept["Content-Type"] = got.headers["Content-Type"]
            return web.Response(body=await got.read(), status=got.status, headers=kept)

    return hand_on


async def test_nothing_is_asked_where_no_address_is_known() -> None:
    assert await examined(settings_for("http://127.0.0.1:1")) == []


async def test_a_gateway_that_visitors_reach_is_well(cloudreve: StandIn, uri: str) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    server = {"port": port, "public_origin": address}
    async with gateway_of(cloudreve.own_url, server=server):
        [finding] = await examined(settings_for(cloudreve.own_url, server=server), uri)
    assert finding.verdict is Verdict.OK, finding.text


async def test_a_visitors_own_forwarded_host_that_is_believed_is_a_problem(cloudreve: StandIn, uri: str) -> None:
    async with gateway_of(cloudreve.own_url) as front:

        async def answer(request: web.Request) -> web.Response:
            host = request.headers.get("X-Forwarded-Host", request.host)
            return await handing_on(front.base, **{"X-Forwarded-Host": host, "X-Forwarded-Proto": "http"})(request)

        [finding] = await said_by(answer, uri)
    assert finding.verdict is Verdict.PROBLEM
    assert "X-Forwarded-Host" in finding.text
    assert finding.remedy.startswith('[server]\npublic_origin = "http://127.0.0.1:')


async def test_a_proxy_that_hides_the_scheme_is_a_problem(cloudreve: StandIn, uri: str) -> None:
    """URLs would begin with another one."""
    async with gateway_of(cloudreve.own_url) as front:

        async def answer(request: web.Request) -> web.Response:
            fields = {"X-Forwarded-Host": request.host, "X-Forwarded-Proto": "https"}
            return await handing_on(front.base, **fields)(request)

        [finding] = await said_by(answer, uri)
    assert finding.verdict is Verdict.PROBLEM
    assert "takes https://127.0.0.1" in finding.text


async def test_a_proxy_that_is_not_trusted_is_advice(cloudreve: StandIn, uri: str) -> None:
    """What it says is not believed, so that URLs have no host."""
    server = {"trusted_proxies": ["192.0.2.1"]}
    async with gateway_of(cloudreve.own_url, server=server) as front:
        [finding] = await said_by(handing_on(front.base), uri, **server)
    assert finding.verdict is Verdict.ADVICE
    assert "server.trusted_proxies" in finding.text


async def _page(_: web.Request) -> web.Response:
    return web.Response(text="<html>Cloudreve</html>", content_type="text/html")


async def _unavailable(_: web.Request) -> web.Response:
    return web.Response(status=502, text="<html>Bad Gateway</html>")


@pytest.mark.parametrize(
    ("answer", "told"),
    [(_page, "does not send /thumb and /session to the gateway"), (_unavailable, "no gateway does (HTTP 502)")],
)
async def test_a_site_that_does_not_lead_to_a_gateway_is_a_problem(answer: Answer, told: str, uri: str) -> None:
    """Nginx without the site; nginx without a gateway behind it."""
    [finding] = await said_by(answer, uri)
    assert finding.verdict is Verdict.PROBLEM
    assert told in finding.text


async def test_a_site_that_sends_only_thumbnails_is_advice(cloudreve: StandIn, uri: str) -> None:
    async with gateway_of(cloudreve.own_url) as front:

        async def answer(request: web.Request) -> web.Response:
            base = cloudreve.own_url if request.path.startswith("/api/") else front.base
            return await handing_on(base)(request)

        [finding] = await said_by(answer, uri)
    assert finding.verdict is Verdict.ADVICE
    assert "/api/v4/file/thumb past the gateway" in finding.text


async def test_an_admin_port_that_everybody_reaches_is_a_problem(cloudreve: StandIn, uri: str) -> None:
    async with gateway_of(cloudreve.own_url) as front:

        async def answer(request: web.Request) -> web.Response:
            port = front.running.admin_port if request.path == "/metrics" else front.running.port
            return await handing_on(f"http://127.0.0.1:{port}")(request)

        findings = await said_by(answer, uri)
    assert "/metrics shows the admin port" in findings[-1].text


async def test_a_site_that_cannot_be_asked_is_advice() -> None:
    public = {"public_origins": [f"http://127.0.0.1:{free_port()}"]}
    [finding] = await examined(settings_for("http://127.0.0.1:1", cloudreve=public))
    assert finding.verdict is Verdict.ADVICE
    assert "connection refused" in finding.text


@pytest.mark.parametrize(("networks", "is_told"), [(["10.0.0.0/8"], False), (["0.0.0.0/0"], True), (["::/0"], True)])
def test_trusting_everybody_is_a_problem(networks: list[str], is_told: bool) -> None:
    """Any visitor could name any address."""
    findings = examine_trust(settings_for("http://127.0.0.1:1", server={"trusted_proxies": networks}))
    assert [finding.verdict for finding in findings] == [Verdict.PROBLEM] * is_told
