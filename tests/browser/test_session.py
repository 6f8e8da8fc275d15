"""Private pictures in a page's `<img>`: blank, shown from sign-in to sign-out, and never on another site."""

from __future__ import annotations

import json

import pytest

from proxy.demo.standin import StandIn
from tests.browser.page import Page, Profile
from tests.browser.stage import ELSEWHERE, WWW, Scene, Stage, album
from tests.gateway.house import ONE, TWO
from tests.gateway.places import Place

pytestmark = pytest.mark.needs("chromium")


async def send(page: Page, method: str, scene: Scene, token: str = "") -> int:
    """Begin or end a session by script; give the status, 0 where the browser keeps it from the page."""
    asked = {"method": method, "credentials": "include", "headers": {"Authorization": f"Bearer {token}"} if token else {}}
    where = json.dumps(f"{scene.origin}/session")
    status: int = await page.js(f"fetch({where}, {json.dumps(asked)}).then(answer => answer.status, () => 0)")
    return status


async def test_private_pictures_show_between_sign_in_and_sign_out(
    either_stage: Stage, site: Place, visitor: Profile
) -> None:
    """On a static page of the same site, which asks for the cookie by script and has nothing else to do with it."""
    stage = either_stage
    www = await stage.pages(WWW, pages := {})
