"""Ten likely mistakes: log, status page, metrics and doctor lead to the cause (docs/operation.md has the table)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.doctor.disk import examine_disk
from proxy.doctor.examination import examine
from proxy.doctor.finding import Finding, Verdict
from proxy.sessions.sign_in_returns import ALARMING
from proxy.settings import DiskSettings
from proxy.standin.standin import StandIn
from tests.conftest import StartRedis
from tests.deploy.patience import until
from tests.doctor.test_accounts import entry
from tests.doctor.test_front import handing_on, proxied
from tests.harness.gateways import GatewayClient, gateway_of, in_share, settings_for
from tests.harness.redis_server import free_port


@pytest.fixture(autouse=True)
def told() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def about(findings: Iterable[Finding], subject: str) -> Finding:
    """Give the first finding about a subject that is not well."""
    return next(finding for finding in findings if finding.subject == subject and finding.verdict is not Verdict.OK)


def warned(told: list[Any], event: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        line for line in told if line["event"] == event and line["log_level"] in ("warning", "error")
    )
    return found


async def troubles(gateway: GatewayClient) -> str:
    """Give what the status page shows at its top; the metric counts it."""
    status = json.loads((await gateway.send("GET", f"{gateway.admin}/status")).body)
    assert gateway.count("troubles") == len(status["troubles"])
    return "\n".join(status["troubles"])


async def failed(gateway: GatewayClient, cloudreve: StandIn) -> int:
    """Ask for a picture, and give the status."""
    return (await gateway.ask(in_share(cloudreve))).status


async def test_no_public_origins(cloudreve: StandIn, told: list[Any]) -> None:
    """Image URLs lead to an address that the gateway may not fetch from."""
    cloudreve.site_url = cloudreve.own_url.replace("127.0.0.1", "127.0.0.2")
    async with gateway_of(cloudreve.own_url) as gateway:
        assert await failed(gateway, cloudreve) == 502
        assert gateway.count("requests_total", outcome="not_public") == 1
        assert f"Cloudreve's site URL is {cloudreve.site_url}, which" in await troubles(gateway)
    assert "Name it there" in warned(told, "site URL does not fit")["advice"]
    line = warned(told, "request failed")
    assert line["category"] == "not_public"
    assert "public_origins" in line["advice"]
    finding = about(await examine(settings_for(cloudreve.own_url), in_share(cloudreve)), "site URL")
    assert finding.remedy.startswith("[cloudreve]\npublic_origins = ")


async def test_wrong_site_url(cloudreve: StandIn, told: list[Any]) -> None:
    """Pictures come; Cloudreve's own links lead elsewhere."""
    public = {"public_origins": ["https://cloud.invalid"]}
    async with gateway_of(cloudreve.own_url, cloudreve=public) as gateway:
        assert await failed(gateway, cloudreve) == 200
        assert "but cloudreve.public_origins says https://cloud.invalid" in await troubles(gateway)
    assert "Cloudreve's settings (Basic)" in warned(told, "site URL does not fit")["advice"]
    finding = about(await examine(settings_for(cloudreve.own_url, cloudreve=public), in_share(cloudreve)), "site URL")
    assert "Cloudreve's settings (Basic)" in finding.text


async def test_wrong_redis_password(cloudreve: StandIn, told: list[Any], start_redis: StartRedis) -> None:
    """Pictures come, without it."""
    redis = {"url": f"redis://:wrong@127.0.0.1:{start_redis(requirepass='right').port}"}
    async with gateway_of(cloudreve.own_url, redis=redis) as gateway:
        assert await failed(gateway, cloudreve) == 200
        assert gateway.count("redis_up") == 0
        assert await troubles(gateway) == "redis.url is not used: Redis does not accept the user or the password."
    assert "does not accept the user or the password" in warned(told, "Redis does not answer yet")["reason"]
    finding = about(await examine(settings_for(cloudreve.own_url, redis=redis), None), "redis")
    assert "does not accept the user name or password" in finding.text


async def test_expired_refresh_token(cloudreve: StandIn, told: list[Any]) -> None:
    token = cloudreve.issue(cloudreve.library.alice, "refresh", -60, root="root")
    publish = [entry(email=None, secret=token)]
    async with gateway_of(cloudreve.own_url, publish=publish) as gateway:
        assert (await gateway.ask("cloudreve://my/album/one.png")).status == 503
        assert gateway.count("accounts_failing") == 1
        assert "publish 1 fails" in (await gateway.send("GET", f"{gateway.admin}/readyz")).body.decode()
        reason = "Cloudreve does not accept the refresh token (correct the secret of this account's [[publish]])"
        assert await troubles(gateway) == f"publish 1 fails: {reason}"
    line = warned(told, "account failed")
    assert (line["account"], line["reason"]) == (1, "Cloudreve does not accept the refresh token")
    finding = about(await examine(settings_for(cloudreve.own_url, publish=publish), None), "account")
    assert "does not accept its refresh token" in finding.text


async def test_oauth_redirect_mismatch(cloudreve: StandIn, told: list[Any]) -> None:
    """Cloudreve's page ends the sign-in, so that the gateway never hears of it: only that nobody comes back."""
    tables: dict[str, Any] = {
        "server": {"public_origin": "http://other.invalid"},
        "sign_in": {"client_id": cloudreve.client.id, "client_secret": cloudreve.client.secret},
        "publish": [entry()],
    }
    async with gateway_of(cloudreve.own_url, **tables) as gateway:
        for _ in range(ALARMING):
            assert "have not come back" not in await troubles(gateway)
            assert (await gateway.send("GET", "/session/login")).status == 303
        assert "needs the redirect URI http://other.invalid/session/callback" in await troubles(gateway)
        assert (gateway.count("sign_ins_begun_total"), gateway.count("sign_ins_returned_total")) == (ALARMING, 0)
    assert "redirect URI" in warned(told, "sign-ins do not come back from Cloudreve's page")["advice"]
    finding = about(await examine(settings_for(cloudreve.own_url, **tables), None), "sign-in")
    assert "it has to be http://other.invalid/session/callback" in finding.text


async def test_disk_full(cloudreve: StandIn, tmp_path: Path, told: list[Any]) -> None:
    """Pictures come; a file that is gone stands for one that cannot grow (tests/cache/test_disk_crashes.py)."""
    disk = {"path": tmp_path / "cache"}
    async with gateway_of(cloudreve.own_url, disk=disk) as gateway:
        (tmp_path / "cache" / "entries.mdb").unlink()
        assert await failed(gateway, cloudreve) == 200
        assert gateway.count("disk_up") == 0
        assert (await troubles(gateway)).startswith("The disk tier is given up until the next start: the file has been")
    assert warned(told, "disk tier given up until the next start")["reason"]
    settings = DiskSettings(path=tmp_path / "cache", max_bytes=1 << 60)
    assert "make room, or lower disk.max_bytes" in about(examine_disk(settings), "disk").text


async def test_wrong_trusted_proxy(cloudreve: StandIn, told: list[Any]) -> None:
    """Visitors are taken for one, and URLs have no host; the log says it once."""
    server = {"trusted_proxies": ["192.0.2.1"]}
    says = {"X-Forwarded-Host": "cloud.invalid"}
    async with (
        gateway_of(cloudreve.own_url, server=server) as gateway,
        proxied(handing_on(gateway.base, **says)) as address,
    ):
        settings = settings_for(cloudreve.own_url, server=server, cloudreve={"public_origins": [address]})
        finding = about(await examine(settings, in_share(cloudreve)), "reverse proxy")
        assert "name it in server.trusted_proxies" in await troubles(gateway)
        for _ in range(100):  # who come without a proxy
            await failed(gateway, cloudreve)
            await gateway.send("GET", "/thumb")
        assert await troubles(gateway) == ""
    assert "server.trusted_proxies" in finding.text
    [line] = [line for line in told if "not believed" in line["event"]]
    assert "server.trusted_proxies" in line["advice"]


async def is_down(gateway: GatewayClient) -> bool:
    """Tell whether the gateway takes Cloudreve for down, which it does once a second ping has failed."""
    return gateway.count("cloudreve_up") == 0


async def test_closed_port(cloudreve: StandIn, told: list[Any]) -> None:
    """Cloudreve is away, or cloudreve.url names another port."""
    url = f"http://127.0.0.1:{free_port()}"
    async with gateway_of(url) as gateway:
        assert await failed(gateway, cloudreve) == 503
        assert gateway.count("requests_total", outcome="unreachable") == 1
        await until(partial(is_down, gateway))
        assert await troubles(gateway) == "cloudreve.url does not answer: The connection to upstream failed."
    assert "The connection to upstream failed." in warned(told, "Cloudreve does not answer yet")["reason"]
    assert warned(told, "request failed")["category"] == "unreachable"
    assert "connection refused" in about(await examine(settings_for(url), None), "cloudreve").text


async def test_clock_off_by_an_hour(cloudreve: StandIn, told: list[Any]) -> None:
    """Pictures come: the gateway goes by Cloudreve's clock."""
    cloudreve.clock_offset_s = -3600.0
    async with gateway_of(cloudreve.own_url) as gateway:
        assert await failed(gateway, cloudreve) == 200
        assert -3602 < gateway.count("cloudreve_clock_ahead_seconds") < -3598
        assert "synchronise the clocks of both machines (NTP)" in await troubles(gateway)
    line = warned(told, "Cloudreve's clock differs from this machine's")
    assert -3602 < line["ahead_s"] < -3598
    assert "NTP" in line["advice"]
    text = about(await examine(settings_for(cloudreve.own_url), None), "clock").text
    assert "s behind ours" in text
    assert "NTP" in text


async def test_nginx_without_the_site(cloudreve: StandIn) -> None:
    """No request reaches the gateway: Cloudreve answers at its paths."""
    async with proxied(handing_on(cloudreve.own_url)) as address:
        settings = settings_for(cloudreve.own_url, cloudreve={"public_origins": [address]})
        finding = about(await examine(settings, in_share(cloudreve)), "reverse proxy")
    assert "does not send /thumb and /session to the gateway" in finding.text
