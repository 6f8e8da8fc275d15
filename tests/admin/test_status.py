"""The data of the status page."""

from __future__ import annotations

import json

import msgspec
import pytest

from proxy.admin.status import FAILURES, Report, Sample, page, shown
from proxy.observe.failures import Failure
from proxy.settings import Settings
from proxy.standin.faults import json_body
from proxy.standin.standin import StandIn
from tests.harness.fixtures import cloudreve, gateway, launcher
from tests.harness.gateways import ONE, GatewayClient, in_share

__all__ = ["cloudreve", "gateway", "launcher"]

SECRET = "a secret that nobody is to read, long enough"
SETTINGS = Settings.model_validate(
    {
        "cloudreve": {"url": "http://127.0.0.1:5212", "secret_key": SECRET},
        "redis": {"url": f"redis://:{SECRET.replace(' ', '-')}@127.0.0.1:6379/0"},
        "seal": {"keys": [SECRET]},
        "watch": {"max_subscriptions": 64, "email": "watch@example.org", "secret": SECRET},
        "publish": [{"prefix": "cloudreve://my/press", "email": "a@example.org", "secret": SECRET}],
    }
)


def failure(at: float) -> Failure:
    return Failure(at, 1, "upstream", "It broke.", None, "", "", None, None, None, None, None, None)


def test_no_secret_is_shown() -> None:
    told = json.dumps(shown(SETTINGS))
    assert SECRET.rsplit(maxsplit=1)[-1] not in told
    assert shown(SETTINGS)["seal"]["keys"] == ["(set)"]
    assert shown(SETTINGS)["cloudreve"]["secret_key"] == "(set)"
    assert shown(SETTINGS)["redis"]["url"] == "(set)"
    assert shown(SETTINGS)["watch"]["email"] == "(set)"
    assert shown(SETTINGS)["server"]["port"] == 8080


def test_counters_of_workers_are_added_and_gauges_told_apart() -> None:
    hit = Sample("requests_total", {"outcome": "hit"}, 2.0)
    up = Sample("redis_up", {}, 1.0)
    one = Report(is_ready=True, troubles=("no token",), uptime_s=5.0, rises=(hit,), gauges=(up,))
    told = page(SETTINGS, {1: one, 2: one, 3: None})
    assert told.workers == {1: True, 2: True, 3: False}
    assert told.rises == (Sample("requests_total", {"outcome": "hit"}, 4.0),)
    assert [sample.labels for sample in told.gauges] == [{"worker": "1"}, {"worker": "2"}]
    assert told.troubles == ("no token",)


def test_the_newest_failures_of_all_workers_come_first() -> None:
    reports = {n: Report(is_ready=True, failures=tuple(failure(at + n) for at in range(0, 100, 2))) for n in (0, 1)}
    told = page(SETTINGS, reports)
    assert [each.at for each in told.failures] == [float(99 - number) for number in range(FAILURES)]


async def test_a_gateway_tells_of_requests_and_of_failures_with_their_reason(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    """As JSON on the admin port: digests of file and visitor, no File URI."""
    await gateway.ask(in_share(cloudreve))
    await gateway.ask(in_share(cloudreve))
    cloudreve.fail("resolve", json_body('{"code":59999,"correlation_id":"id-1"}'), times=2)
    for _ in range(2):
        await gateway.ask(ONE, cloudreve.token())
    reply = await gateway.send("GET", f"{gateway.admin}/status")
    told = json.loads(reply.body)
    requests = {labels["outcome"]: value for name, labels, value in told["rises"] if name == "requests_total"}
    assert (requests["hit"], requests["miss"]) == (1, 1)
    assert told["workers"] == {"1": True}
    assert ["cloudreve_up", {"worker": "1"}, 1.0] in told["gauges"]
    [last] = told["failures"]
    assert (last["count"], last["code"], last["correlation_id"], last["status"]) == (2, 59999, "id-1", 502)
    assert last["file"]
    assert b"album" not in reply.body


@pytest.mark.parametrize("path", ["/", "/status", "/status.js", "/status.css"])
async def test_the_page_may_load_nothing_from_elsewhere(gateway: GatewayClient, path: str) -> None:
    reply = await gateway.send("GET", gateway.admin + path)
    assert reply.status == 200
    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
    assert reply.headers["Cache-Control"] == "no-store"
    assert path == "/status" or b"http" not in reply.body


async def test_visitors_do_not_see_it(gateway: GatewayClient) -> None:
    assert (await gateway.send("GET", "/status")).status == 404


def test_a_report_passes_to_the_parent_and_back() -> None:
    report = Report(is_ready=True, rises=(Sample("a", {"b": "c"}, 1.0),), failures=(failure(3.0),))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(report), type=Report) == report


@pytest.mark.parametrize(
    ("host", "status"), [("evil.example:9090", 403), ("localhost:9090", 200), ("10.0.0.5:9090", 200)]
)
async def test_a_page_that_has_taken_the_port_for_its_own_host_is_told_nothing(
    gateway: GatewayClient, host: str, status: int
) -> None:
    """DNS rebinding: the browser sends that page's own name as `Host`."""
    assert (await gateway.send("GET", f"{gateway.admin}/status", {"Host": host})).status == status


def test_published_folders_and_their_accounts_are_not_shown() -> None:
    """A prefix is a File URI, and may have a share's password."""
    assert set(shown(SETTINGS)["publish"][0].values()) == {"(set)"}
