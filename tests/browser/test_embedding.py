"""Pages of other sites: what is published shows there, what is private does not, and errors are a picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.standin.library import PASSWORD
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.browser.page import Profile
from tests.browser.stage import ELSEWHERE, Stage, images
from tests.harness.gateways import ONE, in_share
from tests.harness.sites import Site

pytestmark = pytest.mark.needs("chromium")

FALLBACK_WIDTH = 52
_READ = """(() => {
  const canvas = document.createElement("canvas").getContext("2d");
  canvas.drawImage(document.images[0], 0, 0);
  try { return canvas.getImageData(0, 0, 1, 1).data.length } catch (error) { return error.name }
})()"""


@pytest.fixture
def fallback(tmp_path: Path) -> dict[str, str]:
    """Give the setting of a picture that no other is as wide as."""
    file = tmp_path / "fallback.png"
    file.write_bytes(paint(3, FALLBACK_WIDTH, 39))
    return {"fallback": str(file)}


async def test_a_published_folder_is_seen_on_any_site(either_stage: Stage, site: Site, visitor: Profile) -> None:
    """By nobody in particular; scripts that ask by CORS may read the pixels too. Beside it nothing is seen."""
    album = {"prefix": "cloudreve://my/album", "email": "alice@example.org", "secret": PASSWORD}
    scene = await either_stage.gateway(site.target.base, publish=[album])
    elsewhere = await either_stage.pages(ELSEWHERE)
    outside = [
        "cloudreve://my/日落 (1).png",
        "cloudreve://my/album/../日落 (1).png",
        "cloudreve://my/album/%2e%2e/日落 (1).png",
    ]
    page = await visitor.page()
    await page.go(elsewhere.write("outside", images(scene.origin, outside)))
    assert await page.shown() == [0, 0, 0]
    for name, attributes, read in (("plain", "", "SecurityError"), ("shared", "crossorigin", 4)):
        await page.go(elsewhere.write(name, images(scene.origin, [ONE], attributes)))
        assert 0 not in await page.shown()
        assert await page.js(_READ) == read
    assert await visitor.cookies() == []


async def test_an_error_is_shown_as_the_fallback(
    either_stage: Stage, cloudreve: StandIn, visitor: Profile, fallback: dict[str, str]
) -> None:
    """With the true status: 401 for who is not signed in, 404 for what is not there; on any site."""
    scene = await either_stage.gateway(cloudreve.own_url, embed=fallback)
    elsewhere = await either_stage.pages(ELSEWHERE)
    text = images(
        scene.origin, [ONE, f"cloudreve://{cloudreve.library.share.id}@share/absent.png", in_share(cloudreve)]
    )
    page = await visitor.page()
    for pages in (scene.pages, elsewhere):
        page.traffic.forget()
        await page.go(pages.write("album", text))
        await page.traffic.pictures_ended()
        assert [image.status for image in page.traffic.images] == [401, 404, 200]
        assert await page.shown() == [FALLBACK_WIDTH, FALLBACK_WIDTH, 40]


async def test_a_sealed_url_of_a_private_picture_shows_on_listed_sites_only(
    either_stage: Stage, cloudreve: StandIn, visitor: Profile
) -> None:
    """A copy of one shows nothing on a page of another site."""
    elsewhere = await either_stage.pages(ELSEWHERE)
    widths = []
    for embed in ({}, {"private_origins": [elsewhere.origin]}):
        scene = await either_stage.gateway(cloudreve.own_url, embed=embed)
        page = await visitor.page()
        await page.go(scene.pages.write("empty", ""))
        asked = json.dumps({"headers": {"Authorization": f"Bearer {cloudreve.token()}"}})
        url = await page.js(f"fetch('/api/v4/file/thumb?uri={ONE}', {asked}).then(a => a.json()).then(a => a.data.url)")
        for pages in (scene.pages, elsewhere):
            await page.go(pages.write("sealed", f'<img src="{url}">'))
            widths += await page.shown()
    assert widths == [40, 0, 40, 40]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "nas", "nas.test"])
@pytest.mark.parametrize("is_listed", [True, False])
async def test_a_page_at_another_port_of_the_host_shows_private_pictures(
    plain_stage: Stage, cloudreve: StandIn, visitor: Profile, host: str, is_listed: bool
) -> None:
    """On plain http at home; by script it begins a session where `session.origins` names it."""
    pages = await plain_stage.pages(host)
    origins = [pages.origin] if is_listed else []
    scene = await plain_stage.gateway(cloudreve.own_url, host=host, session={"origins": origins})
    pages.write("album", images(scene.origin, [ONE]))
    page = await visitor.page()
    await page.go((pages if is_listed else scene.pages).write("begin", ""))
    begin = {"method": "POST", "credentials": "include", "headers": {"Authorization": f"Bearer {cloudreve.token()}"}}
    where = json.dumps(f"{scene.origin}/session")
    assert await page.js(f"fetch({where}, {json.dumps(begin)}).then(answer => answer.status)") == 200
    await page.go(f"{pages.origin}/pages/album")
    assert await page.shown() == [40]
    await page.traffic.pictures_ended()
    assert [image.status for image in page.traffic.images] == [200]
