"""`POST /warm` on the admin port: a folder is warmed in the background, and the status page tells how far it is."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.standin.library import PASSWORD
from proxy.standin.standin import StandIn
from tests.deploy.patience import until as until_so
from tests.deploy.process import GatewayProcess
from tests.harness.fixtures import cloudreve, gateway, launcher, log_entries
from tests.harness.gateways import GatewayClient, GatewayLauncher, Reply, in_share, until

__all__ = ["cloudreve", "gateway", "launcher", "log_entries"]

JSON = {"Content-Type": "application/json"}
LONGEST_S = 20.0


async def order(gateway: GatewayClient, headers: dict[str, str] | None = None, /, **body: object) -> Reply:
    return await gateway.send("POST", f"{gateway.admin}/warm", JSON | (headers or {}), json.dumps(body).encode())


async def state(gateway: GatewayClient) -> dict[str, Any] | None:
    told: dict[str, Any] | None = json.loads((await gateway.send("GET", f"{gateway.admin}/status")).body)["warming"]
    return told


async def over(gateway: GatewayClient) -> dict[str, Any]:
    """Wait for the end, and give what the status page is told."""
    async with asyncio.timeout(LONGEST_S):
        await until(lambda: (told := gateway.running.jobs.state()) is not None and told.is_over)
    found = await state(gateway)
    assert found is not None
    return found


async def test_an_ordered_folder_is_at_hand_afterwards(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """For every visitor of the share; how it went is told."""
    assert await state(gateway) is None
    reply = await order(gateway, uri=f"cloudreve://{cloudreve.library.share.id}@share", recursive=True)
    assert (reply.status, json.loads(reply.body)) == (202, {"warming": "begun"})
    told = await over(gateway)
    assert (told["is_over"], told["kept"] > 0, told["failed"], told["problem"]) == (True, True, 0, "")
    assert (await gateway.ask(in_share(cloudreve))).is_hit


async def test_an_account_looks_where_the_public_may_not(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    entry = {"prefix": "cloudreve://my/album", "email": "alice@example.org", "secret": PASSWORD}
    gateway = await launcher.open(publish=[entry])
    reply = await order(gateway, uri="cloudreve://my/album", account="bob@example.org")
    assert (reply.status, "no [[publish]]" in reply.problem["detail"]) == (400, True)
    assert (await order(gateway, uri="cloudreve://my/album", account="alice@example.org")).status == 202
    assert (await over(gateway))["kept"] > 0


async def test_one_folder_at_a_time(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Another order is told to come again; then it is taken."""
    uri = f"cloudreve://{cloudreve.library.share.id}@share"
    gate = next(iter(cloudreve.library.files.values())).gate = asyncio.Event()
    assert (await order(gateway, uri=uri)).status == 202
    reply = await order(gateway, uri=uri)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
    gate.set()
    await over(gateway)
    assert (await order(gateway, uri=uri)).status == 202
    await over(gateway)


async def test_why_a_folder_could_not_be_listed_is_told(gateway: GatewayClient) -> None:
    assert (await order(gateway, uri="cloudreve://nosuch@share")).status == 202
    told = await over(gateway)
    assert (told["found"], told["kept"], told["problem"] != "") == (0, 0, True)
    assert "nosuch" not in told["problem"]


@pytest.mark.parametrize("body", [{}, {"uri": "x"}, {"uri": "cloudreve://s@share", "more": 1}, []])
async def test_a_body_that_is_no_order_is_refused(gateway: GatewayClient, body: object) -> None:
    assert (await gateway.send("POST", f"{gateway.admin}/warm", JSON, json.dumps(body).encode())).status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 400),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example:9090"}, 403),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer secret-secret"}, 400),
    ],
)
async def test_warm_orders_are_guarded_as_purges_are(
    launcher: GatewayLauncher, headers: dict[str, str], status: int
) -> None:
    has_token = "Authorization" in headers
    gateway = await launcher.open(admin={"token": "secret-secret"} if has_token else {})
    assert (await order(gateway, headers, uri="x")).status == status


async def test_one_of_several_workers_takes_the_order(cloudreve: StandIn, tmp_path: Path) -> None:
    """Their parent tells how far it has come, and all have the pictures."""
    process = GatewayProcess(tmp_path, cloudreve.own_url, SERVER__WORKERS="2", DISK__PATH=str(tmp_path / "cache"))
    uri = f"cloudreve://{cloudreve.library.share.id}@share"
    try:
        await process.start()
        async with aiohttp.ClientSession() as session:

            async def post(uri: str) -> int:
                async with session.post(f"{process.admin}/warm", json={"uri": uri}) as answer:
                    return answer.status

            async def is_over() -> bool:
                told = json.loads((await process.ask("/status"))[1])["warming"]
                return bool(told and told["is_over"] and told["kept"] and not told["failed"])

            assert await post("x") == 400
            assert await post(uri) == 202
            await until_so(is_over)
    finally:
        process.kill()
