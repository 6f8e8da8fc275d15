"""Private pictures in a page's `<img>`: blank, shown from sign-in to sign-out, and never on another site."""

from __future__ import annotations

import json

import pytest

from proxy.standin.library import PASSWORD
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.browser.page import Page, Profile
from tests.browser.stage import ELSEWHERE, WWW, Scene, Stage, images
from tests.harness.gateways import ONE, TWO, in_share
from tests.harness.sites import Site

pytestmark = pytest.mark.needs("chromium")

BOTH = [ONE, TWO]


async def send(page: Page, method: str, scene: Scene, token: str = "") -> int:
    """Begin or end a session by script; give the status, 0 where the browser keeps it from the page."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    asked = json.dumps({"method": method, "credentials": "include", "headers": headers})
    where = json.dumps(f"{scene.origin}/session")
    status: int = await page.js(f"fetch({where}, {asked}).then(answer => answer.status, () => 0)")
    return status


async def is_shown(visitor: Profile, url: str) -> list[bool]:
    """Open a page in a tab of its own, and tell of each of its pictures whether it is to be seen."""
    page = await visitor.page()
    await page.go(url)
    return [width > 0 for width in await page.shown()]


async def test_private_pictures_show_between_sign_in_and_sign_out(
    either_stage: Stage, site: Site, visitor: Profile
) -> None:
    """On a static page, which gets the cookie by script and has nothing to do with it afterwards; nowhere else."""
    scene = await either_stage.gateway(site.target.base)
    here = scene.pages.write("album", images(scene.origin, BOTH))
    there = (await either_stage.pages(ELSEWHERE)).write("album", images(scene.origin, BOTH))
    page = await visitor.page()
    await page.go(here)
    blank = await page.shown()
    assert await send(page, "POST", scene, site.target.alice) == 200
    await page.go(here)
    assert blank == [0, 0]
    assert 0 not in await page.shown()
    assert await is_shown(visitor, there) == [False, False]
    assert await send(page, "DELETE", scene) == 204
    await page.go(here)
    assert await page.shown() == [0, 0]
    assert await is_shown(visitor, here) == [False, False]


async def test_a_second_look_transfers_no_picture(stage: Stage, cloudreve: StandIn, visitor: Profile) -> None:
    """The browser asks whether it may still show its copy, and is told so in 304.

    In one format: with WebP the second look may bring a smaller copy, encoded since the first.
    """
    scene = await stage.gateway(cloudreve.own_url, pictures={"formats": []})
    here = scene.pages.write("album", images(scene.origin, BOTH))
    page = await visitor.page()
    await page.go(here)
    await send(page, "POST", scene, cloudreve.token())
    for expected in (200, 304, 304):
        page.traffic.forget()
        await page.go(here)
        await page.traffic.pictures_ended()
        assert [image.status for image in page.traffic.images] == [expected] * 2
        assert 0 not in await page.shown()


async def test_after_a_sign_in_my_names_the_user_s_own_files(
    either_stage: Stage, cloudreve: StandIn, visitor: Profile
) -> None:
    """A tab has just shown a published folder of the same name: loaded anew it shows their own, and back again."""
    cloudreve.library.put(cloudreve.library.alice, "/press/p1.png")
    cloudreve.library.put(cloudreve.library.bob, "/press/p1.png", thumbnail=paint(3, 52, 39))
    press = {"prefix": "cloudreve://my/press", "email": "alice@example.org", "secret": PASSWORD}
    scene = await either_stage.gateway(cloudreve.own_url, publish=[press])
    here = scene.pages.write("press", images(scene.origin, ["cloudreve://my/press/p1.png"]))
    page = await visitor.page()
    await page.go(here)
    widths = await page.shown()
    assert await send(page, "POST", scene, cloudreve.token("bob")) == 200
    await page.go(here)
    widths += await page.shown()
    await (second := await visitor.page()).go(here)
    widths += await second.shown()
    assert await send(page, "DELETE", scene) == 204
    await page.go(here)
    assert widths + await page.shown() == [40, 52, 52, 40]


async def test_a_page_of_a_sister_host_may_sign_in(stage: Stage, cloudreve: StandIn, visitor: Profile) -> None:
    """When it is listed, by CORS; the cookie it causes is out of its reach, and goes nowhere but to the gateway."""
    www = await stage.pages(WWW)
    scene = await stage.gateway(cloudreve.own_url, session={"origins": [www.origin]})
    here = www.write("album", images(scene.origin, BOTH))
    page = await visitor.page()
    await page.go(here)
    assert await send(page, "POST", scene, cloudreve.token()) == 200
    await page.go(here)
    assert 0 not in await page.shown()
    assert await page.js("document.cookie") == ""
    (cookie,) = await visitor.cookies()
    assert (cookie["name"], cookie["domain"], cookie["path"]) == ("__Host-thumb_session", "thumbs.site.test", "/")
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    assert await send(page, "DELETE", scene) == 204
    await page.go(here)
    assert await page.shown() == [0, 0]
    assert await visitor.cookies() == []


async def test_signing_out_empties_the_browsers_cache(stage: Stage, cloudreve: StandIn, visitor: Profile) -> None:
    """Of what everybody may see it would otherwise keep a copy for an hour."""
    scene = await stage.gateway(cloudreve.own_url)
    here = scene.pages.write("album", images(scene.origin, [in_share(cloudreve)]))
    statuses = []
    for act in ("look", "look", "leave", "look"):
        page = await visitor.page()  # a tab has a cache of its own beside the browser's
        await page.go(here)
        if act == "leave":
            assert await send(page, "DELETE", scene) == 204
        await page.traffic.pictures_ended()
        statuses.append(len(page.traffic.downloads))
    assert statuses == [1, 0, 0, 1]


async def test_another_site_can_neither_sign_a_visitor_in_nor_out(
    either_stage: Stage, cloudreve: StandIn, visitor: Profile
) -> None:
    """Nor open a private picture in a window: to browsers all this is another site's doing."""
    elsewhere = await either_stage.pages(ELSEWHERE)
    scene = await either_stage.gateway(cloudreve.own_url)
    here = scene.pages.write("album", images(scene.origin, BOTH))
    page = await visitor.page()
    await page.go(here)
    await send(page, "POST", scene, cloudreve.token("alice"))
    hostile = await visitor.page()
    link = f'<a href="{scene.origin}/thumb?uri={ONE}">look</a>'
    form = f'<form method=post action="{scene.origin}/session"><button>go</button></form>'
    await hostile.go(elsewhere.write("trap", link + form))
    assert await send(hostile, "POST", scene, cloudreve.token("bob")) == 0
    assert await send(hostile, "DELETE", scene) == 0
    for selector in ("button", "a"):
        await hostile.go(f"{elsewhere.origin}/pages/trap")
        async with hostile.leaving():
            await hostile.click(selector)
        assert await hostile.js("document.images.length") == 0
    await page.go(here)
    assert 0 not in await page.shown()
    who = await page.js("fetch('/session').then(answer => answer.json())")
    assert who["subject"] == cloudreve.library.alice.id
