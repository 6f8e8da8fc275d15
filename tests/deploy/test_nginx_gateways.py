"""Three real gateways behind a real nginx, in front of a stand-in Cloudreve."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import product

import pytest
from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from proxy.standin.standin import StandIn
from tests.deploy.conftest import StartNginx
from tests.deploy.nginx import Nginx
from tests.deploy.visitor import Got, Visitor
from tests.harness.gateways import ONE, GatewayClient, gateway_of, in_share
from tests.harness.sites import expired, thumb

pytestmark = pytest.mark.needs("nginx")

SEAL: dict[str, object] = {"keys": ["k" * 32]}
WHO = ("anonymous", "alice", "bob", "expired", "with a ticket", "alice by cookie", "a forged cookie")


class Replicas:
    """Three gateways, to be stopped one by one."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._own: list[AsyncExitStack] = []
        self.gateways: list[GatewayClient] = []

    async def open(self, url: str) -> None:
        """Start one more."""
        own = await self._stack.enter_async_context(AsyncExitStack())
        self.gateways.append(await own.enter_async_context(gateway_of(url, seal=SEAL)))
        self._own.append(own)

    async def stop(self, number: int) -> None:
        """Stop one for good."""
        await self._own[number].aclose()

    async def home(self, visitor: Visitor, target: str, headers: dict[str, str]) -> int:
        """Ask for a picture, and tell which one was asked in the end."""
        before = self.asked()
        assert (await visitor.get(target, headers)).status == 200
        [number] = [number for number, (old, new) in enumerate(zip(before, self.asked(), strict=True)) if new > old]
        return number

    def asked(self) -> list[int]:
        """Count the requests that have reached each."""
        return [int(_requests(gateway)) for gateway in self.gateways]


def _requests(gateway: GatewayClient) -> float:
    families = text_string_to_metric_families(gateway.running.metrics.exposition().decode())
    samples = (sample for family in families for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == "thumb_proxy_requests_total")


@pytest.fixture
async def site() -> AsyncIterator[StandIn]:
    """Run a stand-in Cloudreve with small pictures."""
    async with StandIn(size=(40, 30)) as standin:
        yield standin


@pytest.fixture
async def replicas(site: StandIn) -> AsyncIterator[Replicas]:
    """Run three gateways that share a seal and nothing else."""
    async with AsyncExitStack() as stack:
        found = Replicas(stack)
        for _ in range(3):
            await found.open(site.own_url)
        yield found


@pytest.fixture
def nginx(start_nginx: StartNginx, replicas: Replicas, site: StandIn) -> Nginx:
    return start_nginx([gateway.running.port for gateway in replicas.gateways], int(site.own_url.rpartition(":")[2]))


async def credentials(who: str, site: StandIn, visitor: Visitor) -> dict[str, str]:
    """Give what a visitor sends to say who asks."""
    token = {"Authorization": f"Bearer {site.token()}"}
    match who:
        case "alice" | "bob":
            return {"Authorization": f"Bearer {site.token(who)}"}
        case "expired":
            return {"Authorization": f"Bearer {expired(site.token())}"}
        case "with a ticket":
            return {"X-Cr-Purchase-Ticket": "a-ticket"}
        case "alice by cookie":
            began = await visitor.send("POST", "/session", token)
            return {"Cookie": began.headers["Set-Cookie"].partition(";")[0]}
        case "a forged cookie":
            return {"Cookie": "thumb_session=forged"}
    return {}


def seen(got: Got) -> tuple[int, str, bytes]:
    """Give of an answer what matters: status, who may keep it, and the bytes of a picture."""
    kept_by = got.headers["Cache-Control"].partition(",")[0]
    return got.status, kept_by, got.body if got.status == 200 else b""


async def test_a_private_picture_reaches_a_gateway_each_time(
    site: StandIn, replicas: Replicas, nginx: Nginx, visitor: Visitor
) -> None:
    """By token and by cookie; and a public one too when asked for by somebody."""
    target = thumb(ONE)
    for who in ("alice", "alice by cookie"):
        headers = await credentials(who, site, visitor)
        before = sum(replicas.asked())
        answers = [await visitor.get(target, headers), await visitor.get(target, headers)]
        assert [seen(answer)[:2] for answer in answers] == [(200, "private")] * 2
        tag = {"If-None-Match": answers[0].headers["ETag"]}
        assert (await visitor.get(target, headers | tag)).status == 304
        assert (await visitor.get(thumb(in_share(site)), headers)).status == 200
        assert sum(replicas.asked()) == before + 4
    assert nginx.stored == []


@pytest.mark.parametrize("name", ["my", "share", "sold"])
async def test_nobody_gets_what_another_was_shown(site: StandIn, visitor: Visitor, name: str) -> None:
    """Whoever has asked before: through nginx everybody is told what a gateway tells them that knows nobody else."""
    sold = site.library.publish(site.library.alice, "/album", ticket="a-ticket")
    uri = {"my": ONE, "share": in_share(site), "sold": f"cloudreve://{sold.id}@share/one.png"}[name]
    who = {name: await credentials(name, site, visitor) for name in WHO}
    told = {}
    for asker, headers in who.items():
        async with gateway_of(site.own_url, seal=SEAL) as alone:
            told[asker] = seen(await Visitor(visitor.session, alone.base).get(thumb(uri), headers))
    for number, (first, second) in enumerate(product(WHO, WHO)):
        target = f"{thumb(uri)}&pair={number}"  # nothing of another pair is at hand for this one
        assert seen(await visitor.get(target, who[first])) == told[first]
        assert seen(await visitor.get(target, who[second])) == told[second]


async def test_a_file_uri_belongs_to_one_gateway_and_survives_it(
    site: StandIn, replicas: Replicas, visitor: Visitor
) -> None:
    """When its gateway goes another answers; what the others had at hand stays where it was."""
    token = {"Authorization": f"Bearer {site.token()}"}
    targets = [thumb(uri) for uri in site.library.gallery(60)[1]]
    before = [await replicas.home(visitor, target, token) for target in targets]
    assert [await replicas.home(visitor, target, token) for target in targets] == before
    assert set(before) == {0, 1, 2}
    await replicas.stop(0)
    after = [await replicas.home(visitor, target, token) for target in targets]
    pairs = list(zip(before, after, strict=True))
    assert {new for old, new in pairs if old == 0} == {1, 2}
    assert all(new == old for old, new in pairs if old != 0)


async def test_sealed_urls_are_cached_where_the_picture_is_public(
    site: StandIn, replicas: Replicas, nginx: Nginx, visitor: Visitor
) -> None:
    """Neither needs a credential; to whom a URL was given the gateways alone know, and they say it."""
    token = {"Authorization": f"Bearer {site.token()}"}
    public, private = (
        await visitor.get(f"/api/v4/file{thumb(in_share(site))}"),
        await visitor.get(f"/api/v4/file{thumb(ONE)}", token),
    )
    for told, reached in ((public, 1), (private, 2)):
        where = json.loads(told.body)["data"]["url"]
        before = sum(replicas.asked())
        answers = [await visitor.get(URL(where).raw_path) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        assert [len(answer.headers.getall("Cache-Status")) for answer in answers] == [3 - reached] * 2
        assert sum(replicas.asked()) == before + reached
    assert len(nginx.stored) == 1
