"""Cloudreve's own page through the gateway. Only a real Cloudreve has one: collected where the environment names it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest

from proxy.standin.library import PASSWORD
from proxy.standin.painting import paint
from proxy.upstream.clock import Clock
from tests.browser.page import Page, Profile
from tests.browser.stage import Scene, Stage, images
from tests.browser.stock_page import API, StockPage
from tests.harness.cloudreve_targets import Client, Target
from tests.harness.gateways import ONE, TWO
from tests.harness.sites import Site, site_of

pytestmark = [pytest.mark.needs("chromium")]

ALICE = "alice@example.org"
DAY_S = 86400.0
HEIGHT = 2400
"""All thumbnails have to be in sight: others are not asked for."""
SITE: dict[str, Any] = {
    "server": {"passthrough": True, "deadline_s": 60.0},
    "session": {"path": "/api/session"},
    "pictures": {"ttl_s": 7 * DAY_S},
}


class Calendar:
    """Our time; Cloudreve's goes on as ever, and what the gateway learns of it sets it right again."""

    def __init__(self) -> None:
        self._passed_s = 0.0

    def clock(self) -> Clock:
        """Make a clock that goes by it."""
        return Clock(lambda: time.time() + self._passed_s, lambda: time.monotonic() + self._passed_s)

    def pass_by(self, seconds: float) -> None:
        """Let everything that the gateway keeps become so much older."""
        self._passed_s += seconds


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
async def real() -> AsyncIterator[Site]:
    async with site_of("real") as found:
        yield found


async def command(target: Target, method: str, path: str, value: object = None) -> Any:  # noqa: ANN401 - any JSON
    """Have alice do something by Cloudreve's API; give what comes of it."""
    headers = {"Authorization": f"Bearer {target.alice}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        reply = await Client(target, session).send(method, f"/api/v4{path}", headers, json.dumps(value).encode())
    assert reply.code == 0, reply.json
    return reply.json.get("data")


@pytest.fixture
async def folder(real: Site) -> AsyncIterator[str]:
    """Make an empty folder, and delete it with all that has come into it."""
    uri = f"cloudreve://my/{uuid4().hex}"
    await command(real.target, "POST", "/file/create", {"uri": uri, "type": "folder"})
    yield uri
    await command(real.target, "DELETE", "/file", {"uris": [uri], "skip_soft_delete": True})


async def visit(stock: StockPage, count: int) -> tuple[int, int, int]:
    """Reload the page; count thumbnails seen, questions to the API, and pictures from the network."""
    stock.page.traffic.forget()
    await stock.page.reload()
    seen = await stock.thumbnails(count)
    await stock.page.traffic.pictures_ended()
    return seen, len(stock.page.traffic.of(API)), pictures(stock.page)


def pictures(page: Page) -> int:
    """Count the thumbnails that came over the network."""
    return sum("/thumb/s/" in image.url for image in page.traffic.downloads)


async def test_an_uploaded_picture_shows_and_is_not_transferred_again(
    stage: Stage, real: Site, folder: str, calendar: Calendar, visitor: Profile, tmp_path: Path
) -> None:
    """Sign in, upload, look, reload; on the next day Cloudreve is asked for leave anew, but not for pictures."""
    count = 12
    files = [tmp_path / f"{number}.png" for number in range(count)]
    for number, file in enumerate(files):
        file.write_bytes(paint(int(uuid4()) % 9973 + number, 640, 480))
    scene = await stage.gateway(real.target.base, calendar.clock(), **SITE)
    stock = StockPage(await visitor.page(height=HEIGHT), scene.origin)
    await stock.sign_in(ALICE, PASSWORD)
    await stock.open(folder)
    of_first_page = len(stock.page.traffic.of(API))
    await stock.upload(files)
    assert await stock.thumbnails(count) == count
    assert await visit(stock, count) == (count, count, 0)
    calendar.pass_by(DAY_S)
    assert await visit(stock, count) == (count, count, count)
    assert await visit(stock, count) == (count, count, 0)
    assert {urlsplit(sent.url).hostname for sent in stock.page.traffic.all} == {urlsplit(scene.origin).hostname}
    assert scene.count("upstream_calls_total", verb="fetch", outcome="picture") <= count + of_first_page


async def test_two_visitors_of_a_fresh_share_see_all_of_it(
    stage: Stage, real: Site, visitor: Profile, other: Profile
) -> None:
    uris = await real.gallery(30)
    share = urlsplit(uris[0]).username
    scene = await stage.gateway(real.target.base, **SITE)
    stocks = [StockPage(await profile.page(height=HEIGHT), scene.origin) for profile in (visitor, other)]

    async def look(stock: StockPage) -> tuple[int, list[str]]:
        await stock.page.go(f"{scene.origin}/s/{share}")
        return await stock.thumbnails(30), await stock.complaints()

    assert await asyncio.gather(*(look(stock) for stock in stocks)) == [(30, []), (30, [])]
    assert scene.count("upstream_calls_total", verb="resolve", outcome="grant") == 30


@pytest.fixture
async def asking(stage: Stage, real: Site, calendar: Calendar) -> AsyncIterator[Scene]:
    """Open a gateway as a client of its own, which nobody has agreed to yet."""
    sign_in = {"client_id": str(uuid4()), "client_secret": uuid4().hex}
    scene = await stage.gateway(real.target.base, calendar.clock(), sign_in=sign_in)
    client = {
        "guid": sign_in["client_id"],
        "name": "Thumbnails",
        "secret": sign_in["client_secret"],
        "is_enabled": True,
        "redirect_uris": [f"{scene.origin}/session/callback"],
        "scopes": ["openid", "profile", "offline_access", "Files.Read"],
        "props": {"refresh_token_ttl": 14 * 86400},
    }
    registered = await command(real.target, "PUT", "/admin/oauthClient", {"client": client})
    yield scene
    await command(real.target, "DELETE", f"/admin/oauthClient/{registered['id']}")


async def test_after_consent_the_stock_page_shows_private_pictures(
    asking: Scene, real: Site, calendar: Calendar, visitor: Profile
) -> None:
    """And goes on seeing them when the access token has run out, for one refresh; the second time nobody is asked."""
    album = asking.pages.write("album", images(asking.origin, [ONE, TWO]))
    page = await visitor.page()
    stock = StockPage(page, real.target.base)
    await page.go(f"{asking.origin}/session/login?next=/pages/album")
    await stock.give_password(ALICE, PASSWORD)
    async with page.leaving(album):
        await stock.press("button", "Authorize Application")
    first = await page.shown()
    calendar.pass_by(3600)
    await page.go(album)
    assert 0 not in first + await page.shown()
    assert asking.count("upstream_calls_total", verb="refresh", outcome="tokens") == 1
    assert await page.js("fetch('/session', {method: 'DELETE'}).then(answer => answer.status)") == 204
    await page.go(album)
    assert await page.shown() == [0, 0]
    async with page.leaving(album):
        await page.go(f"{asking.origin}/session/login?next=/pages/album")
    assert 0 not in await page.shown()
