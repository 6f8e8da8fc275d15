"""The compose file, really started: nginx, three gateways and a stand-in for Cloudreve, with and without a Redis."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import pytest
from yarl import URL

from tests.deploy.fresh_root import LONGEST_S, ROOT
from tests.deploy.images import GATEWAY, Images
from tests.deploy.patience import until
from tests.harness.redis_server import free_port
from tests.harness.sites import thumb

pytestmark = [
    *(pytest.mark.needs(program) for program in ("mmdebstrap", "buildah", "podman", "runc", "iptables")),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a root of another machine"),
    pytest.mark.timeout(2 * LONGEST_S),
]

CLOUDREVE = """\
import asyncio
from proxy.standin.standin import StandIn

async def main():
    async with StandIn(host="0.0.0.0", port=5212) as cloudreve:
        cloudreve.site_url = "http://localhost"
        print("share", cloudreve.library.share.id, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
NGINX = """\
FROM localhost/debian
RUN rm /etc/nginx/sites-enabled/default && ln -sf /dev/stdout /var/log/nginx/access.log \\
    && ln -sf /dev/stderr /var/log/nginx/error.log
CMD ["nginx", "-g", "daemon off;"]
"""
PLAIN = ("compose.yaml",)
WITH_REDIS = ("compose.yaml", "compose.redis.yaml")


class Site:
    """The services of the compose file, started by podman-compose."""

    def __init__(self, images: Images, folder: Path, files: tuple[str, ...]) -> None:
        self._images = images
        self._files = [f"--file={folder / 'deploy' / name}" for name in files]
        self.port = free_port()
        shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("secrets"))
        (folder / "deploy" / "secrets").mkdir()
        (folder / "deploy" / "secrets" / "seal__keys").write_text("k" * 32)

    def up(self) -> None:
        """Start all of them."""
        self._run("up", "--detach", "--no-build")

    def down(self) -> None:
        """Stop and remove them with their volumes."""
        self._run("down", "--volumes", "--timeout=5")

    async def ask(self, path: str) -> tuple[int, str, str]:
        """Ask as a visitor; give status, media type and `Cache-Status`, 0 where nobody answers."""
        url, headers = URL(f"http://127.0.0.1:{self.port}{path}", encoded=True), {"Accept": "image/webp"}
        try:
            async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
                return answer.status, answer.content_type, answer.headers.get("Cache-Status", "")
        except aiohttp.ClientConnectionError:
            return 0, "", ""

    async def picture(self, uri: str) -> tuple[int, str, str]:
        """Ask for a picture, and again while nginx has no gateway: an older podman does not wait for their health."""
        answers: list[tuple[int, str, str]] = []

        async def is_answered() -> bool:
            answers.append(await self.ask(thumb(uri)))
            return answers[-1][0] not in (0, HTTPStatus.SERVICE_UNAVAILABLE)

        await until(is_answered)
        return answers[-1]

    async def share(self) -> str:
        """Wait for Cloudreve, and give the id of its share."""
        found: list[str] = []

        async def is_up() -> bool:
            found.extend(
                re.findall(r"^share (\w+)$", self._images.podman("logs", "cloudreve_cloudreve_1"), re.MULTILINE)
            )
            return bool(found)

        await until(is_up)
        return found[0]

    def _run(self, *arguments: str) -> str:
        program = Path(sys.executable).with_name("podman-compose")
        return self._images.run(str(program), *self._files, *arguments, SITE_PORT=str(self.port))


@pytest.fixture(scope="module")
def stocked(images: Images) -> Images:
    """Make images under the names of those that compose would download."""
    images.build("docker.io/library/nginx:1.28-alpine", NGINX)
    images.build("docker.io/library/redis:8-alpine", "FROM localhost/debian\n")
    images.build(
        "docker.io/cloudreve/cloudreve:v4", f"FROM {GATEWAY}\nENTRYPOINT {json.dumps(['python', '-c', CLOUDREVE])}\n"
    )
    return images


@pytest.fixture(params=[PLAIN, WITH_REDIS], ids=["disk", "redis"])
def site(request: pytest.FixtureRequest, stocked: Images) -> Iterator[Site]:
    with TemporaryDirectory() as folder:
        made = Site(stocked, Path(folder), request.param)
        try:
            made.up()
            yield made
        finally:
            made.down()


async def test_a_visitor_of_the_site_sees_a_picture(site: Site) -> None:
    """From a gateway, and once more from nginx, which has kept it; and Cloudreve's own answers beside it."""
    share = await site.share()
    first, other, again = [
        await site.picture(f"cloudreve://{share}@share/{name}.png") for name in ("one", "two", "one")
    ]
    for status, kind, cache in (first, other):
        assert (status, kind.partition("/")[0]) == (HTTPStatus.OK, "image")  # a busy machine encodes too late
        assert cache.startswith("thumb-proxy; fwd=miss")
    assert again == first
    assert (await site.ask("/api/v4/site/ping"))[0] == HTTPStatus.OK
