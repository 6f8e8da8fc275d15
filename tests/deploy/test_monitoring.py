"""Alert rules and the dashboard: checked by promtool, and asked of a real Prometheus that scrapes a real gateway."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from ruamel.yaml import YAML

from proxy.domain import errors, protocol_errors, sign_in_errors, storage_errors
from proxy.domain.refusal import RefusalKind
from proxy.standin.standin import StandIn
from tests.deploy.patience import until
from tests.harness.gateways import GatewayClient, gateway_of, in_share
from tests.harness.redis_server import RedisServer, free_port
from tests.harness.sites import thumb

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
OPERATION = (Path(__file__).parents[2] / "docs" / "operation.md").read_text()
METRIC = re.compile(r"thumb_proxy_\w+")
SUFFIXES = ("_bucket", "_count", "_sum")
ENDED_WELL = {"hit", "miss", "not_modified", "pass", "info"}


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = YAML(typ="safe").load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
    return found


def queries() -> Iterator[str]:
    """Give what the dashboard asks, for any instance."""
    for panel in json.loads((FOLDER / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m")


def documented() -> list[str]:
    """Give the queries that the document answers questions with."""
    block = re.search(r"```promql\n(.*?)```", OPERATION, re.DOTALL)
    assert block is not None
    return [line for line in block[1].splitlines() if line and not line.startswith("#")]


@pytest.mark.needs("promtool")
def test_the_rules_say_what_their_tests_expect() -> None:
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        program = shutil.which("promtool") or "promtool"
        done = subprocess.run([program, *command], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - ours
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_tested_and_says_what_to_do() -> None:
    tested = YAML(typ="safe").load((FOLDER / "alerts_test.yaml").read_text())["tests"]
    fired = {each["alertname"] for test in tested for each in test["alert_rule_test"] if each.get("exp_alerts")}
    assert {rule["alert"] for rule in rules()} == fired
    assert all(rule["annotations"]["action"] for rule in rules())


def test_rules_dashboard_and_document_ask_for_metrics_that_exist() -> None:
    """Each has a row in the document, which a test of its own holds to the code."""
    known = set(re.findall(r"^\| `(thumb_proxy_\w+)` \|", OPERATION, re.MULTILINE))
    asked = "\n".join([*queries(), *documented(), *(rule["expr"] for rule in rules())])
    named = {re.sub(f"({'|'.join(SUFFIXES)})$", "", name) for name in METRIC.findall(asked)}
    assert named <= known


def test_outcomes_that_count_as_errors_exist() -> None:
    modules = (errors, protocol_errors, sign_in_errors, storage_errors)
    kinds = [each for module in modules for each in vars(module).values() if isinstance(each, type)]
    known = {str(kind.category) for kind in kinds if issubclass(kind, errors.ProxyError)}
    known |= {f"refused_{kind}" for kind in RefusalKind}
    [rule] = [rule for rule in rules() if rule["alert"] == "ThumbProxyErrors"]
    found = re.search(r'outcome=~"([^"]+)"', rule["expr"])
    assert found is not None
    assert set(found[1].split("|")) <= known - ENDED_WELL


@pytest.fixture
async def gateway(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[GatewayClient]:
    """Run a gateway that has every tier, and has answered some requests."""
    disk = tmp_path / "disk"
    async with (
        StandIn(size=(40, 30)) as cloudreve,
        gateway_of(cloudreve.own_url, redis={"url": redis_server.url}, disk={"path": disk}) as gateway,
    ):
        for _ in range(2):
            await gateway.send("GET", thumb(in_share(cloudreve)), {"Accept": "image/webp"})
        yield gateway


class Prometheus:
    """A Prometheus that scrapes a gateway each second."""

    def __init__(self, folder: Path, target: int) -> None:
        self.port = free_port()
        settings = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        job = {"job_name": "thumbs", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        config = {"global": settings, "rule_files": [str(FOLDER / "alerts.yaml")], "scrape_configs": [job]}
        (folder / "prometheus.json").write_text(json.dumps(config))
        places = [f"--config.file={folder}/prometheus.json", f"--storage.tsdb.path={folder}/data"]
        program = shutil.which("prometheus") or "prometheus"
        command = [program, *places, f"--web.listen-address=127.0.0.1:{self.port}"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603

    async def ask(self, session: aiohttp.ClientSession, query: str) -> dict[str, Any]:
        """Run a query; give the answer as it is."""
        async with session.get(f"http://127.0.0.1:{self.port}/api/v1/query?query={quote(query)}") as response:
            found: dict[str, Any] = await response.json()
            return found

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)


@pytest.mark.needs("prometheus")
async def test_every_query_is_one_that_prometheus_can_answer(gateway: GatewayClient, tmp_path: Path) -> None:
    """Those of the dashboard and of the document; nearly all have an answer after a few requests."""
    prometheus = Prometheus(tmp_path, gateway.running.admin_port)
    try:
        async with aiohttp.ClientSession() as session:

            async def has_two_samples() -> bool:
                try:
                    told = await prometheus.ask(session, "count_over_time(thumb_proxy_build_info[1m])")
                except aiohttp.ClientError:
                    return False
                return any(float(each["value"][1]) >= 2 for each in told["data"]["result"])

            await until(has_two_samples)
            asked = [*queries(), *documented()]
            told = await asyncio.gather(*(prometheus.ask(session, query) for query in asked))
    finally:
        await asyncio.to_thread(prometheus.stop)
    assert [query for query, each in zip(asked, told, strict=True) if each["status"] != "success"] == []
    empty = [query for query, each in zip(asked, told, strict=True) if not each["data"]["result"]]
    allowed = ("accounts_failing", "cut_off", "redis_troubles", "redis_max_bytes", "whoami")
    assert [query for query in empty if not any(name in query for name in allowed)] == []
