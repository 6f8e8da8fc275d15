"""The image and the compose file: linted, and whatever of them runs without a container engine is run."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from proxy.settings import Settings
from proxy.settings.sources import load
from tests.deploy.nginx import SITE, Nginx
from tests.harness.gateways import GatewayClient, gateway_of
from tests.harness.redis_server import free_port

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
COMPOSE = ROOT / "deploy" / "compose.yaml"
GATEWAYS = ("gateway-1", "gateway-2", "gateway-3")


def compose() -> dict[str, Any]:
    """Read the compose file; a variable that nobody has set has its default."""
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", COMPOSE.read_text())
    found: dict[str, Any] = YAML(typ="safe").load(text)
    return found


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found


def address(name: str) -> str:
    """Tell a service's address on the network that visitors' requests take."""
    return str(service(name)["networks"]["site"]["ipv4_address"])


def run(program: str, *arguments: str) -> None:
    """Run a linter, which must have nothing to say."""
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own
    assert done.returncode == 0, done.stdout + done.stderr


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text.removesuffix("s"))


def test_the_dockerfile_is_sound() -> None:
    run("hadolint", str(DOCKERFILE))


def test_the_compose_file_follows_its_schema() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE))


def test_the_image_gets_all_that_it_copies_and_no_more() -> None:
    """Of what `.dockerignore` lets through."""
    _, build, image = DOCKERFILE.read_text().split("\nFROM ")
    lines = re.findall(r"^COPY (.+) \S+$", build, re.MULTILINE)
    copied = sorted(name for line in lines for name in line.split())
    assert copied == sorted(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert re.findall(r"^COPY (.+)$", image, re.MULTILINE) == ["--from=build /opt/thumb-proxy /opt/thumb-proxy"]


def test_the_image_is_nobodys_in_particular() -> None:
    """Neither root nor a name that only the image knows; it ends as the gateway wants to be ended."""
    last = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", last, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE) == ["${PYTHON}"] * 2
    [base] = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+-slim", base)
    assert service("gateway-1")["build"]["args"] == {"PYTHON": base}


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayClient]:
    """Run a gateway whose Cloudreve is away."""
    async with gateway_of(f"http://127.0.0.1:{free_port()}") as opened:
        yield opened


async def test_the_healthcheck_tells_a_gateway_from_none(gateway: GatewayClient) -> None:
    """With the interpreter alone; being asked does not depend on Cloudreve."""
    found = re.search(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    assert found
    python, *arguments = json.loads(found[1])
    assert python == "python"
    for port, code in ((gateway.running.port, 0), (free_port(), 1)):
        environment = {"THUMB_PROXY_SERVER__PORT": str(port)}
        checking = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        assert await checking.wait() == code


def test_only_nginx_can_be_reached_from_outside() -> None:
    services = compose()["services"]
    assert [name for name, said in services.items() if "ports" in said] == ["nginx"]
    assert not [name for name, said in services.items() if said.get("network_mode") == "host" or said.get("privileged")]
    assert service("processes")["network_mode"] == "none"


def test_nginx_finds_everybody_where_they_are() -> None:
    """At the addresses that compose gives out; and the gateways know whom to believe."""
    upstreams = (SITE / "upstreams-compose.conf").read_text()
    found = re.findall(r"^\s*server ([\d.]+):(\d+) ", upstreams, re.MULTILINE)
    assert found == [*((address(name), "8080") for name in GATEWAYS), (address("cloudreve"), "5212")]
    mounted = {volume.split(":")[0]: volume.split(":")[1] for volume in service("nginx")["volumes"]}
    assert mounted["./nginx/thumb-proxy.conf"] == "/etc/nginx/conf.d/default.conf"  # in the place of the image's own
    assert mounted["./nginx/upstreams-compose.conf"].startswith("/etc/nginx/conf.d/")
    assert f"proxy_cache_path {mounted['nginx_cache']} " in (SITE / "thumb-proxy.conf").read_text()


@pytest.mark.needs("nginx")
def test_nginx_takes_the_files_of_compose(tmp_path: Path) -> None:
    """As `nginx -t` says."""
    nginx = Nginx(tmp_path, [1, 2, 3], 4)
    nginx.upstreams = (SITE / "upstreams-compose.conf").read_text()
    assert nginx.check() == ""


def test_both_files_of_upstreams_differ_in_addresses_only() -> None:
    """What one of them says of balancing holds for the other."""
    one, other = ((SITE / name).read_text() for name in ("upstreams.conf", "upstreams-compose.conf"))

    def directives(text: str) -> list[str]:
        return [re.sub(r"server \S+", "server", line) for line in text.splitlines() if not line.startswith("#")]

    assert directives(one) == directives(other)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Load the settings of a gateway as compose sets it up."""
    (tmp_path / "seal__keys").write_text("0123456789abcdef" * 4 + "\n")
    for name, value in service("gateway-1")["environment"].items():
        monkeypatch.setenv(name, value)
    [cache] = re.findall(r"^ENV CACHE_DIRECTORY=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "cache"))
    assert service("gateway-1")["volumes"] == [f"gateway_cache:{cache}"]
    assert f"--mode=700 {cache}\nVOLUME {cache}\n" in DOCKERFILE.read_text()
    assert service("gateway-1")["environment"]["THUMB_PROXY_SECRETS_DIR"] == "/run/secrets"
    monkeypatch.setenv("THUMB_PROXY_SECRETS_DIR", str(tmp_path))
    return load()


def test_gateways_understand_their_settings(settings: Settings) -> None:
    """Every name and value; the secrets come from files with the names of secrets."""
    assert settings.cloudreve.url == f"http://{address('cloudreve')}:5212"
    assert settings.cloudreve.public_origins == (settings.server.public_origin,)
    assert settings.server.trusted_proxies == (f"{address('nginx')}/32",)
    assert settings.redis.url is None
    assert settings.disk.path is not None
    assert [key.get_secret_value() for key in settings.seal.keys] == ["0123456789abcdef" * 4]
    assert service("gateway-1")["secrets"] == ["seal__keys"]
    assert compose()["secrets"] == {"seal__keys": {"file": "./secrets/seal__keys"}}


def test_gateways_are_alike_and_have_time_to_finish(settings: Settings) -> None:
    alike = [{key: value for key, value in service(name).items() if key != "networks"} for name in GATEWAYS]
    assert alike[0] == alike[1] == alike[2]
    assert len({address(name) for name in (*GATEWAYS, "nginx", "cloudreve")}) == 5
    assert seconds(alike[0]["stop_grace_period"]) > settings.server.drain_s + 2 * settings.server.shutdown_s
    assert settings.memory.max_bytes < 768 * 1024 * 1024 == _bytes(alike[0]["mem_limit"])


def test_gateways_share_the_disk_tier_in_one_process_namespace() -> None:
    """LMDB knows readers by the numbers of their processes: two of one number could not both read."""
    assert {service(name)["pid"] for name in GATEWAYS} == {f"container:{service('processes')['container_name']}"}
    assert {*service("gateway-1")["depends_on"]} == {"processes", "cloudreve"}
    shared = service("processes")
    assert (shared["build"], shared["image"]) == (service("gateway-1")["build"], service("gateway-1")["image"])


def _bytes(text: str) -> int:
    assert text.endswith("m")
    return int(text.removesuffix("m")) * 1024 * 1024
