"""Every behaviour of storage, in every state of what the gateway knows: status, and how often storage is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.drills.storage.certificates import certify, tls
from proxy.pictures import lookup
from proxy.standin import faults
from proxy.standin.faults import Fault, Hang
from proxy.standin.standin import StandIn
from proxy.upstream import host_pauses, images
from tests.harness.gateways import CUT_OFF, GatewayClient, GatewayLauncher, Hours, Reply, in_share
from tests.harness.relay import Relay

DEADLINE_S = 3.0
"""Where storage hangs, which takes as long."""
LIFE_S = 100.0
MOST_FETCHES = 7
"""Of one visit: the first, one under a new grant, and those that wait for what is stored late."""
LATE = 3
"""So many fetches find nothing yet of what is stored late."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A behaviour of storage, and the answer to a visitor for whom nothing is at hand."""

    status: int
    """0 for a transfer that is broken off, or 502."""
    make: Callable[[], Fault] | None = None
    """None for a certificate that is not trusted."""
    times: int | None = None
    """So many fetches are spoilt; None for all."""
    is_silent: bool = False
    """Storage says nothing about the picture, so that what is known is shown to those who are granted it."""


def denial(status: int, told: int = 503, *, is_silent: bool = False) -> Behaviour:
    return Behaviour(told, lambda: faults.error_page(status), is_silent=is_silent)


BEHAVIOURS = {
    "hang": Behaviour(504, Hang, is_silent=True),
    "reset": Behaviour(503, faults.Reset, is_silent=True),
    "half": Behaviour(0, faults.Half),
    "cut": Behaviour(0, faults.Truncated),
    "401": denial(401, 502),
    "403": denial(403),
    "404": denial(404),
    "429": denial(429, is_silent=True),
    "500": denial(500, is_silent=True),
    "502": denial(502, is_silent=True),
    "503": denial(503, is_silent=True),
    "504": denial(504, is_silent=True),
    "TLS": Behaviour(503, is_silent=True),
    "HTML": denial(200, 502),
    "redirect to a private address": Behaviour(502, lambda: faults.redirect("http://127.0.0.2:1/x")),
    "redirect to itself": Behaviour(502, lambda: faults.redirect("")),
    "written late": Behaviour(200, lambda: faults.error_page(404), times=LATE),
}


@pytest.fixture(params=BEHAVIOURS)
def behaviour(request: pytest.FixtureRequest) -> Behaviour:
    return BEHAVIOURS[request.param]


class Storage:
    """A storage of its own host, that behaves well until it is spoilt."""

    def __init__(self, cloudreve: StandIn, make: Callable[[], Fault] | None, times: int | None) -> None:
        self._cloudreve = cloudreve
        self._make = make
        self._times = times
        self._fault: Fault | None = None
        self.ca_file = ""

    def spoil(self) -> None:
        """Behave otherwise from now on."""
        if self._make is not None:
            self._fault = self._make()
            self._cloudreve.fail("fetch", self._fault, times=self._times)

    async def mend(self) -> None:
        """Behave well again."""
        self._cloudreve.mend()
        if isinstance(self._fault, Hang):
            self._fault.until.set()
            await self._cloudreve.calls.ended("fetch", self._cloudreve.calls.count("fetch"))


class Certified(Storage):
    """One that speaks TLS, and shows a certificate that nobody knows once it is spoilt."""

    def __init__(self, cloudreve: StandIn, folder: Path) -> None:
        super().__init__(cloudreve, None, None)
        self._own, self._other = (certify(folder, "127.0.0.1", name) for name in ("own", "other"))
        self._context = tls(self._own)
        self.relay = Relay(int(cloudreve.foreign_url.rpartition(":")[2]), self._context)
        self.ca_file = str(self._own)

    def spoil(self) -> None:
        """Show the other certificate."""
        self._show(self._other)

    async def mend(self) -> None:
        """Show its own."""
        self._show(self._own)

    def _show(self, certificate: Path) -> None:
        self._context.load_cert_chain(certificate)
        self.relay.cut()


@pytest.fixture
async def storage(cloudreve: StandIn, behaviour: Behaviour, tmp_path: Path) -> AsyncIterator[Storage]:
    cloudreve.foreign = True
    if behaviour.make is not None:
        yield Storage(cloudreve, behaviour.make, behaviour.times)
        return
    certified = Certified(cloudreve, tmp_path)
    async with certified.relay as relay:
        cloudreve.foreign_origin = f"https://127.0.0.1:{relay.port}"
        yield certified


@pytest.fixture
async def gateway(
    storage: Storage, behaviour: Behaviour, launcher: GatewayLauncher, monkeypatch: pytest.MonkeyPatch
) -> GatewayClient:
    """Run a gateway before storage of its own host, that waits for nothing longer than it has to."""
    monkeypatch.setattr("proxy.gateway.STORED_AFTER_S", (0.0,) * 5)
    if behaviour.make is Hang:
        monkeypatch.setattr(lookup, "REVALIDATE_S", 0.1)
    monkeypatch.setattr(images, "RETRY_S", 0.0)
    monkeypatch.setattr(host_pauses, "DEFAULT_PAUSE_S", 0.001)
    return await launcher.open(
        server={"deadline_s": DEADLINE_S} if behaviour.make is Hang else {},
        cloudreve={"image_hosts": ["127.0.0.1"], "ca_file": storage.ca_file or None},
        grants={"max_ttl_s": LIFE_S, "margin_s": 0.0},
    )


async def visit(gateway: GatewayClient, uri: str, token: str | None = None) -> Reply | None:
    """Ask; None where the transfer broke off."""
    try:
        return await gateway.ask(uri, token)
    except CUT_OFF:
        return None


def picture(cloudreve: StandIn) -> bytes:
    draw = cloudreve.library.file("/album/one.png").draw
    assert draw is not None
    return draw()


def check(reply: Reply | None, behaviour: Behaviour, right: bytes) -> None:
    """Fail where the answer to a visitor for whom nothing is at hand is another than it should be."""
    if reply is None:
        assert behaviour.status == 0
        return
    assert reply.status == (behaviour.status or 502)
    assert ("Retry-After" in reply.headers) == (reply.status in (503, 504))
    assert reply.body == right if reply.status == 200 else reply.headers["Cache-Control"] == "no-store"


def check_at_hand(reply: Reply | None, behaviour: Behaviour, first: Reply) -> None:
    """Fail where the answer to a visitor who was granted what is at hand is another than it should be."""
    if behaviour.is_silent:
        assert reply is not None
        assert (reply.status, reply.body, reply.etag) == (200, first.body, first.etag)
    elif behaviour.status or reply is None or reply.status != 200:
        check(reply, behaviour, first.body)
    else:
        assert reply.body == first.body


async def test_nothing_is_known(
    cloudreve: StandIn, storage: Storage, gateway: GatewayClient, hours: Hours, behaviour: Behaviour
) -> None:
    """A true status within the deadline, and the picture as soon as storage is well again."""
    storage.spoil()
    check(await visit(gateway, in_share(cloudreve)), behaviour, picture(cloudreve))
    assert cloudreve.calls.count("fetch") <= MOST_FETCHES
    await storage.mend()
    hours.pass_by(10)
    reply = await visit(gateway, in_share(cloudreve))
    assert reply is not None
    assert (reply.status, reply.body) == (200, picture(cloudreve))


async def test_a_grant_is_live(cloudreve: StandIn, storage: Storage, gateway: GatewayClient) -> None:
    first = await gateway.ask(in_share(cloudreve))
    storage.spoil()
    second = await gateway.ask(in_share(cloudreve))
    assert (second.status, second.body, second.is_hit) == (200, first.body, True)
    assert cloudreve.calls.count("fetch") == 1


async def test_a_new_grant_names_bytes_at_hand(
    cloudreve: StandIn, storage: Storage, gateway: GatewayClient, hours: Hours, behaviour: Behaviour
) -> None:
    """They are shown where storage says nothing; where it says no, that is told."""
    first = await gateway.ask(in_share(cloudreve))
    hours.pass_by(LIFE_S + 1)
    storage.spoil()
    reply = await visit(gateway, in_share(cloudreve))
    check_at_hand(reply, behaviour, first)
    assert cloudreve.calls.count("fetch") <= 1 + MOST_FETCHES
    await storage.mend()
    hours.pass_by(10)
    again = await visit(gateway, in_share(cloudreve))
    assert again is not None
    assert (again.status, again.body) == (200, first.body)


async def test_another_visitor_has_a_grant_for_bytes_at_hand(
    cloudreve: StandIn, storage: Storage, gateway: GatewayClient, behaviour: Behaviour
) -> None:
    """They are shown to this visitor too: Cloudreve grants the picture, and its storage says nothing against it."""
    first = await gateway.ask(in_share(cloudreve))
    storage.spoil()
    reply = await visit(gateway, in_share(cloudreve), cloudreve.token("bob"))
    check_at_hand(reply, behaviour, first)
    assert cloudreve.calls.count("fetch") <= 1 + MOST_FETCHES
