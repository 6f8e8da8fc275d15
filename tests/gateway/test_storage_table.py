"""Every behaviour of storage, in every state of what the gateway knows: status, and how often storage is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy import gateway
from proxy.pictures import lookup
from proxy.standin import faults
from proxy.standin.faults import Fault, Hang
from proxy.standin.standin import StandIn
from proxy.upstream import host_pauses, images
from tests.harness.gateways import CUT_OFF, Front, Hours, House, Reply, in_share

DEADLINE_S = 3.0
"""Where storage hangs, which takes as long."""
LIFE_S = 100.0
MOST_FETCHES = 7
"""Of one visit: the first, one under a new grant, and those that wait for what is stored late."""

BEHAVIOURS: dict[str, tuple[Callable[[], Fault], int]] = {
    "hang": (Hang, 504),
    "reset": (faults.Reset, 503),
    "half": (faults.Half, 0),
    "cut": (faults.Truncated, 0),
    "401": (lambda: faults.error_page(401), 502),
    "403": (lambda: faults.error_page(403), 503),
    "404": (lambda: faults.error_page(404), 503),
    "429": (lambda: faults.error_page(429), 503),
    "500": (lambda: faults.error_page(500), 503),
    "502": (lambda: faults.error_page(502), 503),
    "503": (lambda: faults.error_page(503), 503),
    "504": (lambda: faults.error_page(504), 503),
    "HTML": (lambda: faults.error_page(200), 502),
    "redirect to a private address": (lambda: faults.redirect("http://127.0.0.2:1/x"), 502),
    "redirect to itself": (lambda: faults.redirect(""), 502),
}
"""What storage does, and the status where nothing is at hand; 0 is a transfer that is broken off, or 502."""
BROKEN_OFF = {"half", "cut"}
BRIDGED = {"hang", "reset", "429", "500", "502", "503", "504"}
"""Where storage says nothing about the picture, so that what is known is shown to those who are granted it."""


@pytest.fixture
async def front(cloudreve: StandIn, house: House, monkeypatch: pytest.MonkeyPatch, behaviour: str) -> Front:
    """Run a gateway before storage of its own host, that waits for nothing longer than it has to."""
    monkeypatch.setattr(gateway, "STORED_AFTER_S", (0.0,) * 5)
    monkeypatch.setattr(lookup, "REVALIDATE_S", 0.1)
    monkeypatch.setattr(images, "RETRY_S", 0.0)
    monkeypatch.setattr(host_pauses, "DEFAULT_PAUSE_S", 0.001)
    cloudreve.foreign = True
    return await house.open(
        server={"deadline_s": DEADLINE_S} if behaviour == "hang" else {},
        cloudreve={"image_hosts": [cloudreve.foreign_url.removeprefix("http://")]},
        grants={"max_ttl_s": LIFE_S, "margin_s": 0.0},
    )


async def visit(front: Front, uri: str, token: str | None = None) -> Reply | None:
    """Ask; None where the transfer broke off."""
    try:
        return await front.ask(uri, token)
    except CUT_OFF:
        return None


def made(behaviour: str) -> Fault:
    """Make the fault."""
    kind, _ = BEHAVIOURS[behaviour]
    return kind()


def check(reply: Reply | None, behaviour: str) -> None:
    """Fail where the answer to a visitor for whom nothing is at hand is another than it should be."""
    _, status = BEHAVIOURS[behaviour]
    if reply is None:
        assert status == 0
        return
    assert reply.status == (status or 502)
    assert ("Retry-After" in reply.headers) == (reply.status in (503, 504))
    assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_nothing_is_known(cloudreve: StandIn, front: Front, hours: Hours, behaviour: str) -> None:
    """A true status within the deadline, and the picture as soon as storage is well again."""
    fault = made(behaviour)
    cloudreve.fail("fetch", fault)
    check(await visit(front, in_share(cloudreve)), behaviour)
    assert cloudreve.calls.count("fetch") <= MOST_FETCHES
    await mend(cloudreve, fault, hours)
    reply = await visit(front, in_share(cloudreve))
    assert reply is not None
    assert reply.status == 200


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_a_grant_is_live(cloudreve: StandIn, front: Front, behaviour: str) -> None:
    """Storage is not asked at all."""
    first = await front.ask(in_share(cloudreve))
    cloudreve.fail("fetch", made(behaviour))
    second = await front.ask(in_share(cloudreve))
    assert (second.status, second.body, second.is_hit) == (200, first.body, True)
    assert cloudreve.calls.count("fetch") == 1


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_a_new_grant_names_bytes_at_hand(cloudreve: StandIn, front: Front, hours: Hours, behaviour: str) -> None:
    """They are shown where storage says nothing; where it says no, that is told."""
    first = await front.ask(in_share(cloudreve))
    hours.pass_by(LIFE_S + 1)
    fault = made(behaviour)
    cloudreve.fail("fetch", fault)
    reply = await visit(front, in_share(cloudreve))
    if behaviour in BRIDGED:
        assert reply is not None
        assert (reply.status, reply.body, reply.etag) == (200, first.body, first.etag)
    elif behaviour not in BROKEN_OFF:
        check(reply, behaviour)
    assert cloudreve.calls.count("fetch") <= 1 + MOST_FETCHES
    await mend(cloudreve, fault, hours)
    again = await visit(front, in_share(cloudreve))
    assert again is not None
    assert (again.status, again.body) == (200, first.body)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_another_visitor_has_a_grant_for_bytes_at_hand(cloudreve: StandIn, front: Front, behaviour: str) -> None:
    """They are shown to this visitor too: Cloudreve grants the picture, and its storage says nothing against it."""
    first = await front.ask(in_share(cloudreve))
    cloudreve.fail("fetch", made(behaviour))
    reply = await visit(front, in_share(cloudreve), cloudreve.token("bob"))
    if behaviour in BRIDGED:
        assert reply is not None
        assert (reply.status, reply.body) == (200, first.body)
    elif behaviour not in BROKEN_OFF:
        check(reply, behaviour)
    assert cloudreve.calls.count("fetch") <= 1 + MOST_FETCHES


async def mend(cloudreve: StandIn, fault: Fault, hours: Hours) -> None:
    """Let storage be well again, and all pauses be over."""
    cloudreve.mend()
    if isinstance(fault, Hang):
        fault.until.set()
        await cloudreve.calls.ended("fetch", cloudreve.calls.count("fetch"))
    hours.pass_by(10)
