"""Grants: found, resolved, noted and forgotten under the identity and URI that they were given for."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from proxy.domain.errors import InvalidToken, Refused, StillGenerating
from proxy.domain.grant import Grant
from proxy.domain.keys import grant_key
from proxy.domain.refusal import Refusal, RefusalKind
from proxy.domain.source import Source
from proxy.standin.faults import Hang, json_body
from proxy.standin.standin import StandIn
from tests.harness.steps import Steps, steps


async def test_a_grant_is_resolved_once_and_then_found(taken: Steps) -> None:
    first = await taken.grants.find(taken.visitor(), taken.request())
    second = await taken.grants.find(taken.visitor(), taken.request())
    assert (first.source, second.source) == (Source.UPSTREAM, Source.MEMORY)
    assert first.grant is second.grant
    taken.hours.pass_by(first.grant.fresh_until - taken.clock.now() + 0.1)
    assert (await taken.grants.find(taken.visitor(), taken.request())).source is Source.UPSTREAM


async def test_identities_that_differ_in_anything_share_no_grant(taken: Steps) -> None:
    """User, client, scopes and ticket: each change is a question of its own."""
    alice = taken.visitor("alice")
    variants = [
        alice,
        taken.visitor("bob"),
        taken.visitor(),
        *(
            replace(alice, identity=replace(alice.identity, **change))
            for change in ({"client": "app"}, {"scopes": ("a",)}, {"scopes": ("a", "b")}, {"fields": "t"})
        ),
    ]
    for _ in range(2):
        for visitor in variants:
            await taken.grants.find(visitor, taken.request())
    assert taken.site.calls.count("resolve") == len(variants)


async def test_a_refusal_is_found_like_a_grant(taken: Steps) -> None:
    refusals = []
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            await taken.grants.find(taken.visitor(), taken.request("nope.png"))
        refusals.append(caught.value.refusal)
    assert refusals[0] == refusals[1]
    assert taken.site.calls.count("resolve") == 1


async def test_a_version_noted_for_a_grant_is_found_with_it_and_ends_with_it(taken: Steps) -> None:
    visitor, request = taken.visitor(), taken.request()
    found = await taken.grants.find(visitor, request)
    taken.hours.pass_by(100)
    await taken.grants.note(visitor, request, found.grant, '"v1"')
    noted = await taken.grants.find(visitor, request)
    assert (noted.grant.version, noted.grant.fresh_until) == ('"v1"', found.grant.fresh_until)
    taken.hours.pass_by(3500)
    assert (await taken.grants.find(visitor, request)).source is Source.UPSTREAM


async def test_a_note_about_a_grant_that_has_ended_brings_nothing_back(taken: Steps) -> None:
    visitor, request = taken.visitor(), taken.request()
    found = await taken.grants.find(visitor, request)
    taken.hours.pass_by(3600)
    await taken.grants.note(visitor, request, found.grant, '"v1"')
    assert (await taken.grants.find(visitor, request)).grant.version == ""


async def test_a_note_about_a_grant_that_was_refused_meanwhile_changes_nothing(taken: Steps) -> None:
    """The picture took so long that its renewal came first, and Cloudreve said no: that counts."""
    visitor, request = taken.visitor(), taken.request()
    found = await taken.grants.find(visitor, request)
    refusal = Refusal(RefusalKind.NOT_FOUND, 404, asked_at=taken.clock.now())
    await taken.tiers.set(grant_key(visitor.identity, request.uri), refusal, 1000.0)
    await taken.grants.note(visitor, request, found.grant, '"v1"')
    with pytest.raises(Refused):
        await taken.grants.find(visitor, request)


async def test_a_note_about_a_refused_grant_brings_nothing_back_when_the_refusal_is_forgotten(taken: Steps) -> None:
    """The picture took longer than the refusal was kept: Cloudreve is asked again."""
    visitor, request = taken.visitor(), taken.request()
    found = await taken.grants.find(visitor, request)
    refusal = Refusal(RefusalKind.NOT_FOUND, 404, asked_at=taken.clock.now())
    await taken.tiers.set(grant_key(visitor.identity, request.uri), refusal, 2.0)
    taken.hours.pass_by(3)
    await taken.grants.note(visitor, request, found.grant, '"v1"')
    assert (await taken.grants.find(visitor, request)).source is Source.UPSTREAM


async def test_a_note_about_a_grant_that_was_renewed_meanwhile_changes_nothing(taken: Steps) -> None:
    visitor, request = taken.visitor(), taken.request()
    old = (await taken.grants.find(visitor, request)).grant
    new = replace(old, url=old.url + "&new", fresh_until=old.fresh_until - 100)
    await taken.tiers.set(grant_key(visitor.identity, request.uri), new, 1000.0)
    await taken.grants.note(visitor, request, old, '"v1"')
    assert (await taken.grants.find(visitor, request)).grant == new


async def test_a_grant_that_was_forgotten_is_resolved_anew_for_that_identity_alone(taken: Steps) -> None:
    for name in ("", "alice"):
        await taken.grants.find(taken.visitor(name), taken.request())
    await taken.grants.forget(taken.visitor(), taken.request())
    sources = [(await taken.grants.find(taken.visitor(name), taken.request())).source for name in ("", "alice")]
    assert sources == [Source.UPSTREAM, Source.MEMORY]


async def test_a_grant_in_the_tier_that_has_ended_is_not_believed(taken: Steps) -> None:
    """However it came there: its own end counts, not the tier's."""
    key = grant_key(taken.visitor().identity, taken.request().uri)
    over = Grant("http://127.0.0.1/", taken.clock.now() - 1, "0" * 40, own=True)
    await taken.tiers.set(key, over, 1000.0)
    assert (await taken.grants.find(taken.visitor(), taken.request())).source is Source.UPSTREAM


async def test_a_token_that_ended_on_its_way_is_its_own_visitors_matter(taken: Steps) -> None:
    """Cloudreve takes it for anonymous and refuses; another token of the same user, waiting behind it, asks anew."""
    hang = Hang()
    taken.site.fail("resolve", hang, times=1)
    uri = taken.request().uri
    request = replace(taken.request(), uri=replace(uri, text="cloudreve://my/album/one.png", filesystem="my"))
    good = taken.visitor("alice")
    ended = replace(good, credentials=replace(good.credentials, bearer=taken.site.token(life_s=-1)))
    first = asyncio.create_task(taken.grants.find(ended, request))
    await taken.site.calls.arrived("resolve")
    second = asyncio.create_task(taken.grants.find(good, request))
    await asyncio.sleep(0)
    hang.until.set()
    with pytest.raises(InvalidToken):
        await first
    assert (await second).grant.own
    assert taken.tiers.get_nowait(grant_key(good.identity, request.uri)) == (await second).grant


async def test_generating_is_kept_by_nobody(site: StandIn) -> None:
    """After the deadline of its flight there is nothing in any tier."""
    async with AsyncExitStack() as stack:
        taken = await steps(site, stack, server={"deadline_s": 0.3})
        site.fail("resolve", json_body('{"code":40073}'))
        with pytest.raises(StillGenerating):
            await taken.grants.find(taken.visitor(), taken.request())
        assert taken.tiers.get_nowait(grant_key(taken.visitor().identity, taken.request().uri)) is None


@pytest.mark.parametrize(("code", "kept"), [(40016, True), (40069, True), (-1, False), (12345, False)])
async def test_a_refusal_is_kept_by_its_kind(taken: Steps, code: int, kept: bool) -> None:
    taken.site.fail("resolve", json_body(f'{{"code":{code}}}'))
    with pytest.raises(Refused):
        await taken.grants.find(taken.visitor(), taken.request())
    entry = taken.tiers.get_nowait(grant_key(taken.visitor().identity, taken.request().uri))
    assert (isinstance(entry, Refusal) and entry.code == code) == kept
