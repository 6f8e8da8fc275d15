"""Fixtures of the deployment's tests: an nginx with the project's site, and the servers behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import pytest

from tests.deploy.backend import Backend
from tests.deploy.fresh_root import bootstrap
from tests.deploy.images import Images
from tests.deploy.nginx import Nginx
from tests.deploy.visitor import Visitor

StartNginx = Callable[[Sequence[int], int], Nginx]


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a Debian in an archive: the new machine of some tests, the base of images of others (one xdist group)."""
    return bootstrap(tmp_path_factory.mktemp("debian") / "debian.tar")


@pytest.fixture(scope="session")
def images(debian: Path) -> Iterator[Images]:
    """Build the gateway's image, on a base made of that Debian."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = Images(Path(folder))
        try:
            made.add_base(debian)
            made.build_gateway()
            yield made
        finally:
            made.close()


@pytest.fixture
def start_nginx(tmp_path: Path) -> Iterator[StartNginx]:
    """Give a function that starts an nginx in front of gateways and a Cloudreve, given by their ports."""
    started: list[Nginx] = []

    def start(gateways: Sequence[int], cloudreve: int) -> Nginx:
        folder = tmp_path / f"nginx-{len(started)}"
        folder.mkdir()
        started.append(Nginx(folder, gateways, cloudreve))
        return started[-1].start()

    yield start
    for nginx in started:
        nginx.stop()


@pytest.fixture
async def gateways() -> AsyncIterator[list[Backend]]:
    """Run three servers in the place of gateways."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Backend(f"gateway {number}")) for number in range(3)]


@pytest.fixture
async def cloudreve() -> AsyncIterator[Backend]:
    """Run a server in the place of Cloudreve."""
    async with Backend("cloudreve") as backend:
        yield backend


@pytest.fixture
def nginx(start_nginx: StartNginx, gateways: list[Backend], cloudreve: Backend) -> Nginx:
    return start_nginx([gateway.port for gateway in gateways], cloudreve.port)


@pytest.fixture
async def visitor(nginx: Nginx) -> AsyncIterator[Visitor]:
    """Give a visitor of the site that nginx serves."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session:
        yield Visitor(session, nginx.base)
