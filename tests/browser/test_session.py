"""Private pictures in a page's `<img>`: blank, shown from sign-in to sign-out, and never on another site."""

from __future__ import annotations

import json

import pytest

from proxy.demo.standin import StandIn
from tests.browser.page import Page, Profile
from tests.browser.stage import ELSEWHERE, WWW, Scene, Stage, images
from tests.gateway.house import ONE, TWO
from tests.gateway.places import Place

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
    either_stage: Stage, site: Place, visitor: Profile
) -> None:
    """On a static page, which gets the cookie by script and has nothing to do with it afterwards; nowhere else."""
    scene = await either_stage.gateway(site.target.base)
    here = scene.pages.write("album", images(scene.origin, BOTH))
    there = (await either_stage.pages(ELSEWHERE)).write("album", images(scene.origin, BOTH))
    page = await visitor.page()
    await page.go(here)
    assert await page.shown() == [0, 0]
    assert await send(page, "POST", scene, site.target.alice) == 200
    await page.go(here)
    assert 0 not in await page.shown()
    page.traffic.forget()
    await page.go(here)
    assert 0 not in await page.shown()
    print([(e, e.headers) for e in page.traffic.images])
    assert page.traffic.downloads == []
    assert await is_shown(visitor, there) == [False, False]
    assert await send(page, "DELETE", scene) == 204
    await page.go(here)
    assert await is_shown(visitor, here) == [False, False]
    assert await page.shown() == [0, 0]
