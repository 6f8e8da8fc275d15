"""The image: built by the Dockerfile as it is, on a base of Debian's Python, and run as nobody on a read-only root."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from proxy import __version__
from proxy.standin.standin import StandIn
from tests.deploy.fresh_root import LONGEST_S
from tests.deploy.images import GATEWAY, Images
from tests.deploy.patience import until
from tests.harness.gateways import in_share
from tests.harness.redis_server import free_port
from tests.harness.sites import thumb

pytestmark = [
    pytest.mark.needs("mmdebstrap"),
    pytest.mark.needs("buildah"),
    pytest.mark.needs("podman"),
    pytest.mark.needs("runc"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a root of another machine"),
    pytest.mark.timeout(2 * LONGEST_S),
]

HARDENED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
"""As the compose file and the chart have it."""


@pytest.fixture
async def cloudreve() -> AsyncIterator[StandIn]:
    async with StandIn() as standin:
        yield standin


@dataclass(frozen=True, slots=True)
class Container:
    """A gateway that runs in one."""

    images: Images
    name: str
    port: int

    def inside(self, *command: str, may_fail: bool = False) -> str:
        """Run a command in it."""
        return self.images.podman("exec", self.name, *command, may_fail=may_fail).strip()

    @property
    def pid(self) -> int:
        """Name its process as this machine knows it."""
        return int(self.images.podman("inspect", "--format={{.State.Pid}}", self.name))

    async def ask(self, path: str) -> tuple[int, str]:
        """Ask it; give status and media type, 0 where nobody answers."""
        url, headers = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True), {"Accept": "image/webp"}
        try:
            async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
                return answer.status, answer.content_type
        except aiohttp.ClientConnectionError:
            return 0, ""


@asynccontextmanager
async def running(images: Images, cloudreve: StandIn) -> AsyncIterator[Container]:
    """Run a gateway in a container, with a volume for its disk tier."""
    port = free_port()
    settings = {
        "CLOUDREVE__URL": cloudreve.own_url,
        "SERVER__HOST": "127.0.0.1",
        "SERVER__PORT": str(port),
        "SERVER__DRAIN_S": "0",
        "SERVER__DEADLINE_S": "60",
        "PICTURES__ENCODE_WAIT_S": "60",
        "PICTURES__ENCODE_TIMEOUT_S": "60",
        "ADMIN__PORT": str(free_port()),
    }
    given = [f"--env=THUMB_PROXY_{name}={value}" for name, value in settings.items()]
    how = ("--detach", "--network=host", "--volume=cache:/var/cache/thumb-proxy", *HARDENED)
    container = Container(images, images.podman("run", *how, *given, GATEWAY).splitlines()[-1], port)
    try:

        async def is_ready() -> bool:
            return (await container.ask("/readyz"))[0] == 200

        await until(is_ready)
        yield container
    finally:
        images.podman("stop", "--time=60", container.name)
    assert images.podman("inspect", "--format={{.State.ExitCode}}", container.name).strip() == "0"


async def test_the_image_shows_a_picture_and_a_restart_costs_cloudreve_nothing(
    images: Images, cloudreve: StandIn
) -> None:
    """The disk tier is on a volume, which outlives the container."""
    async with running(images, cloudreve) as container:
        assert await container.ask(thumb(in_share(cloudreve))) == (200, "image/webp")
    cloudreve.calls.forget()
    async with running(images, cloudreve) as container:
        assert await container.ask(thumb(in_share(cloudreve))) == (200, "image/webp")
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (0, 0)


async def test_the_image_runs_as_nobody_and_writes_nowhere_else(images: Images, cloudreve: StandIn) -> None:
    """Its health check says that it is well, and so does Docker's own way to ask for it."""
    async with running(images, cloudreve) as container:
        status = Path(f"/proc/{container.pid}/status").read_text()  # noqa: ASYNC240 - of the kernel's memory
        assert "\nUid:\t10001\t10001\t10001\t10001\n" in status
        assert "\nCapEff:\t0000000000000000\n" in status
        assert "\nNoNewPrivs:\t1\n" in status
        assert "Read-only" in container.inside("python", "-c", "open('/opt/x', 'w')", may_fail=True)
        images.podman("healthcheck", "run", container.name)
        assert container.inside("thumb-proxy", "--version").startswith(f"thumb-proxy {__version__}")


def test_there_is_nothing_in_it_to_install_with(images: Images) -> None:
    """Neither pip nor setuptools; every file of the gateway's is root's."""
    script = (
        "import json, pathlib, sys; print(json.dumps([p.name for p in pathlib.Path(sys.argv[1]).rglob('*.dist-info')]))"
    )
    listed = images.podman("run", "--rm", "--entrypoint=python", GATEWAY, "-c", script, "/opt/thumb-proxy")
    packages = {name.partition("-")[0] for name in json.loads(listed)}
    assert "aiohttp" in packages
    assert not packages & {"pip", "setuptools", "wheel"}
