"""Signing in at Cloudreve's consent page, and staying signed in when the access token has run out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.standin.faults import Hang
from proxy.standin.site import OAuthClient
from proxy.standin.standin import StandIn
from proxy.upstream.clock import Clock
from tests.browser.page import Page, Profile
from tests.browser.stage import Scene, Stage, images
from tests.harness.gateways import Hours

pytestmark = pytest.mark.needs("chromium")

PICTURES = 12
CONNECTIONS = 6
"""How many a browser opens to one host, so that so many pictures are asked for at once."""


@pytest.fixture
def hours(cloudreve: StandIn) -> Hours:
    return Hours(cloudreve)


@pytest.fixture
async def scene(stage: Stage, cloudreve: StandIn, hours: Hours) -> Scene:
    """Open a gateway that is registered at the stand-in."""
    client = OAuthClient()
    sign_in = {"client_id": client.id, "client_secret": client.secret}
    found = await stage.gateway(
        cloudreve.own_url, Clock(hours.now, hours.timer), sign_in=sign_in, grants={"renew_s": 0.0}
    )
    cloudreve.client = OAuthClient(redirect_uri=f"{found.origin}/session/callback")
    return found


async def agree(page: Page, scene: Scene, landing: str) -> None:
    """Follow a link to the consent page, and press its button."""
    await page.go(scene.pages.write("door", f'<a href="/session/login?next={landing}">Sign in</a>'))
    async with page.leaving():
        await page.click("a")
    async with page.leaving():
        await page.click("#allow")


async def test_after_consent_private_pictures_show_for_as_long_as_the_session_lasts(
    scene: Scene, cloudreve: StandIn, hours: Hours, visitor: Profile
) -> None:
    """When the access token has run out, all pictures of a page together cost one refresh."""
    share, _ = cloudreve.library.gallery(PICTURES)
    uris = [f"cloudreve://my{share.path}/{number}.png" for number in range(PICTURES)]
    album = scene.pages.write("album", images(scene.origin, uris))
    page = await visitor.page()
    await page.go(album)
    blank = await page.shown()
    await agree(page, scene, "/pages/album")
    landed, first = await page.js("location.href"), await page.shown()
    hours.pass_by(cloudreve.access_life_s + 1)
    cloudreve.fail("refresh", Hang(until := asyncio.Event()), times=1)
    scene.relay.forget()
    look = asyncio.create_task(page.go(album))
    await scene.relay.heard(b"GET /thumb?", CONNECTIONS)
    until.set()
    await look
    second, refreshed = await page.shown(), cloudreve.calls.count("refresh")
    await page.go(album)
    assert blank == [0] * PICTURES
    assert landed == album
    assert 0 not in first + second + await page.shown()
    assert (refreshed, cloudreve.calls.count("refresh")) == (1, 1)
    assert cloudreve.calls.count("exchange") == 1


async def test_two_tabs_sign_in_one_after_the_other(scene: Scene, visitor: Profile) -> None:
    """Both stood at the consent page; a third one, whose answer is nobody's, gets a page from which to begin anew."""
    tabs = [await visitor.page(), await visitor.page()]
    for number, page in enumerate(tabs):
        scene.pages.write(f"album{number}", images(scene.origin, ["cloudreve://my/album/one.png"]))
        await page.go(scene.pages.write("door", f'<a href="/session/login?next=/pages/album{number}">Sign in</a>'))
        async with page.leaving():
            await page.click("a")
    for number, page in enumerate(tabs):
        async with page.leaving():
            await page.click("#allow")
        assert await page.js("location.pathname") == f"/pages/album{number}"
        assert 0 not in await page.shown()
    stray = await visitor.page()
    await stray.go(f"{scene.origin}/session/callback?code=x&state=x")
    async with stray.leaving():
        await stray.click("a")
    assert await stray.js("!!document.querySelector('#allow')")


async def test_a_replica_with_cold_caches_honours_the_renewed_cookie(
    scene: Scene, cloudreve: StandIn, hours: Hours, visitor: Profile
) -> None:
    """The browser has it from an answer with a picture; what it brings next time needs no refresh."""
    album = scene.pages.write("album", images(scene.origin, ["cloudreve://my/album/one.png"]))
    page = await visitor.page()
    await agree(page, scene, "/pages/album")
    before = await session_cookie(visitor)
    hours.pass_by(cloudreve.access_life_s + 1)
    await page.go(album)
    after = await session_cookie(visitor)
    assert before["value"] != after["value"]
    assert after["httpOnly"]
    assert after["secure"]
    who = await page.js("fetch('/session').then(answer => answer.json())")
    assert who["subject"] == cloudreve.library.alice.id
    assert cloudreve.calls.count("refresh") == 1


async def test_after_a_sign_out_consent_is_asked_for_again(scene: Scene, cloudreve: StandIn, visitor: Profile) -> None:
    """The pictures are gone, and Cloudreve has heard of it."""
    album = scene.pages.write("album", images(scene.origin, ["cloudreve://my/album/one.png"]))
    page = await visitor.page()
    await agree(page, scene, "/pages/album")
    assert 0 not in await page.shown()
    assert await page.js("fetch('/session', {method: 'DELETE'}).then(answer => answer.status)") == 204
    await page.go(album)
    assert await page.shown() == [0]
    assert cloudreve.calls.count("revoke") == 1


async def test_another_site_cannot_begin_a_sign_in(
    scene: Scene, stage: Stage, cloudreve: StandIn, visitor: Profile
) -> None:
    """A link there leads to an error, not through a consent page that no longer asks."""
    elsewhere = await stage.pages("www.elsewhere.test")
    page = await visitor.page()
    await page.go(elsewhere.write("trap", f'<a href="{scene.origin}/session/login?next=/">look</a>'))
    async with page.leaving():
        await page.click("a")
    assert await page.js("location.href") == f"{scene.origin}/session/login?next=/"
    assert await visitor.cookies() == []
    assert cloudreve.calls.count("consent") == 0


async def session_cookie(visitor: Profile) -> dict[str, Any]:
    (cookie,) = await visitor.cookies()
    return cookie
