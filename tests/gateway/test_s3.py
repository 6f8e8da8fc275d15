"""Pictures on a real S3 server: presigned, in a public bucket, and passed on by Cloudreve's internal proxy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.pictures.respond import REFUSED_S
from proxy.standin.faults import Exchange, Fault
from proxy.standin.library import Entity
from proxy.standin.standin import StandIn
from proxy.upstream import host_pauses, images
from tests.harness.gateways import ONE, PNG, GatewayClient, GatewayLauncher, Hours, in_share, statuses
from tests.harness.s3_server import S3Server

pytestmark = pytest.mark.needs("rclone")

LIFE_S = 100.0
RELAYED = "relayed"


class Storage:
    """Cloudreve with a storage policy: it stores each thumbnail once it is made, and writes its URL."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.secret: str | None = None
        """Another than the server's, where the policy's is wrong."""
        self.is_late = False
        """A thumbnail is granted once before it is stored."""
        self._granted: Counter[str] = Counter()

    def sign(self, entity: Entity) -> str:
        """Grant a thumbnail: write a URL."""
        self.grant(entity.id, entity.read())
        return self.url(entity.id)

    def grant(self, entity: str, body: bytes) -> None:
        """Store a thumbnail when it is granted for the first time, or for the second."""
        self._granted[entity] += 1
        if self._granted[entity] == 1 + self.is_late:
            self.server.put(key_of(entity), body)

    def url(self, entity: str) -> str:
        """Write a URL."""
        return self.server.sign(key_of(entity), self.secret)


class Relays(Fault):
    """Pass on what storage says, errors too, under the entity's ETag."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Ask storage."""
        entity = exchange.request.match_info["entity"]
        self._storage.grant(entity, exchange.body)
        headers = {"ETag": f'"{entity}"', "Cache-Control": "public, max-age=86400"}
        try:
            async with aiohttp.ClientSession() as session, session.get(self._storage.url(entity)) as answer:
                return web.Response(status=answer.status, body=await answer.read(), headers=headers)
        except aiohttp.ClientConnectionError:
            return web.Response(status=502)


def key_of(entity: str) -> str:
    return f"{entity}_日落 one.png._thumb"


@pytest.fixture(params=["presigned", "public", RELAYED])
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(policy: str, tmp_path: Path) -> Iterator[S3Server]:
    """Run an S3 server, whose only bucket everybody may read if it is public."""
    server = S3Server(tmp_path, is_private=policy != "public")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def storage(cloudreve: StandIn, server: S3Server, policy: str) -> Storage:
    """Have Cloudreve keep its pictures there."""
    storage = Storage(server)
    if policy == RELAYED:
        cloudreve.fail("fetch", Relays(storage))
    else:
        cloudreve.sign_elsewhere = storage.sign
    return storage


@pytest.fixture
async def gateway(launcher: GatewayLauncher, monkeypatch: pytest.MonkeyPatch) -> GatewayClient:
    """Run a gateway that waits for nothing."""
    monkeypatch.setattr("proxy.gateway.STORED_AFTER_S", (0.0,) * 2)
    monkeypatch.setattr(images, "RETRY_S", 0.0)
    monkeypatch.setattr(host_pauses, "FAILED_PAUSE_S", 0.0)
    return await opened(launcher)


async def opened(launcher: GatewayLauncher) -> GatewayClient:
    return await launcher.open(
        cloudreve={"image_hosts": ["127.0.0.1"]},
        grants={"max_ttl_s": LIFE_S, "margin_s": 0.0},
        pictures={"recheck_s": 0},
    )


def fetches(gateway: GatewayClient) -> tuple[float, float]:
    """Count the downloads of a gateway, and its checks whether a picture has changed."""
    picture, same = (
        gateway.count("upstream_calls_total", verb="fetch", outcome=outcome) for outcome in ("picture", "revalidated")
    )
    return picture, same


async def test_a_picture_is_downloaded_once(
    cloudreve: StandIn, storage: Storage, gateway: GatewayClient, hours: Hours, policy: str
) -> None:
    """However often its URL is signed; under a new grant the server says that it is the same."""
    first = await gateway.ask(in_share(cloudreve))
    assert (first.status, first.headers["Content-Type"]) == (200, PNG)
    thumbnail = cloudreve.library.file("/album/one.png").thumbnail
    assert thumbnail is not None
    assert first.body == thumbnail.read()
    assert storage.url(thumbnail.id).partition("?")[0].startswith(storage.server.url)
    assert (await gateway.ask(in_share(cloudreve))).is_hit
    hours.pass_by(LIFE_S + 1)
    again = await gateway.ask(in_share(cloudreve))
    assert (again.status, again.body, again.etag) == (200, first.body, first.etag)
    assert fetches(gateway) == (1, policy != RELAYED)


async def test_a_picture_that_is_granted_before_it_is_stored_is_waited_for(
    cloudreve: StandIn, storage: Storage, gateway: GatewayClient
) -> None:
    storage.is_late = True
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    assert fetches(gateway)[0] == 1


async def test_a_deleted_object_is_told_and_remembered_for_seconds(
    cloudreve: StandIn, storage: Storage, gateway: GatewayClient, launcher: GatewayLauncher, hours: Hours
) -> None:
    first = await gateway.ask(in_share(cloudreve))
    thumbnail = cloudreve.library.file("/album/one.png").thumbnail
    assert thumbnail is not None
    storage.server.delete(key_of(thumbnail.id))
    other = await opened(launcher)
    replies = [await other.ask(in_share(cloudreve)) for _ in range(10)]
    assert statuses(replies) == [503] * 10
    assert all("Retry-After" in reply.headers for reply in replies)
    assert cloudreve.calls.count("resolve") == 1 + 2
    storage.server.put(key_of(thumbnail.id), first.body)
    hours.pass_by(REFUSED_S + 1)
    assert (await other.ask(in_share(cloudreve))).body == first.body


async def test_a_server_that_is_away_hides_nothing_that_is_at_hand(
    cloudreve: StandIn, storage: Storage, gateway: GatewayClient
) -> None:
    """It is shown to all to whom Cloudreve grants it; of what is not at hand the visitor is told when to come again."""
    first = await gateway.ask(in_share(cloudreve))
    storage.server.stop()
    reply = await gateway.ask(in_share(cloudreve), cloudreve.token("bob"))
    assert (reply.status, reply.body) == (200, first.body)
    unknown = await gateway.ask(in_share(cloudreve, "two.png"))
    assert (unknown.status, unknown.headers["Retry-After"]) == (503, "2")
    storage.server.start()
    assert (await gateway.ask(in_share(cloudreve, "two.png"))).status == 200


@pytest.mark.usefixtures("storage")
async def test_a_new_version_is_another_object(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Its owner, who was granted the old one, sees it as soon as anybody has seen it."""
    first = await gateway.ask(ONE, cloudreve.token())
    assert (await gateway.ask(in_share(cloudreve))).body == first.body
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    new = await gateway.ask(in_share(cloudreve), cloudreve.token("bob"))
    assert (await gateway.ask(ONE, cloudreve.token())).body == new.body != first.body


@pytest.mark.parametrize("policy", ["presigned", RELAYED])
async def test_a_wrong_key_is_told_by_its_code(
    cloudreve: StandIn, storage: Storage, gateway: GatewayClient, log_entries: list[Any]
) -> None:
    storage.secret = "another-secret-of-no-value"
    assert (await gateway.ask(in_share(cloudreve))).status == 503
    warning = next(line for line in log_entries if line["event"] == "request failed")
    assert warning["storage"].endswith(" 403 SignatureDoesNotMatch")
    assert "storage policy" in warning["advice"]
