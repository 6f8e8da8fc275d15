"""A page that asks Cloudreve's API for its thumbnails, as Cloudreve's own does: first visit, next visit, next day."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest

from proxy.standin.standin import StandIn
from proxy.upstream.clock import Clock
from tests.browser.page import Page, Profile
from tests.browser.stage import Scene, Stage
from tests.harness.gateways import Hours
from tests.harness.sites import Site, StandInSite

pytestmark = pytest.mark.needs("chromium")

PICTURES = 30
API = "/api/v4/file/thumb"
_SCRIPT = """<script>
  for (const uri of {uris}) {{
    const image = document.body.appendChild(new Image());
    fetch("{api}?uri=" + encodeURIComponent(uri))
      .then(answer => answer.json())
      .then(answer => {{ if (answer.code) document.body.append(answer.msg); else image.src = answer.data.url; }});
  }}
</script>"""
_SHOWN = "[...document.images].every(image => image.complete && image.naturalWidth)"


def gallery(scene: Scene, uris: Sequence[str]) -> str:
    return scene.pages.write("gallery", f"<body>{_SCRIPT.format(uris=json.dumps(uris), api=API)}</body>")


async def look(page: Page, url: str) -> tuple[int, int]:
    """Open the page until all its pictures are shown; count questions to the API and pictures from the network."""
    page.traffic.forget()
    await page.go(url)
    await page.until(_SHOWN)
    assert await page.js("document.images.length") == PICTURES
    await page.traffic.pictures_ended()
    return len(page.traffic.of(API)), len(page.traffic.downloads)


async def test_a_second_visit_transfers_no_picture(stage: Stage, site: Site, visitor: Profile) -> None:
    """The URLs are the same, so that the browser does not even ask."""
    uris = await site.gallery(PICTURES)
    scene = await stage.gateway(site.target.base)
    url, page = gallery(scene, uris), await visitor.page()
    first, second = await look(page, url), await look(page, url)
    third = await look(await visitor.page(), url)
    assert [first, second, third] == [(PICTURES, PICTURES), (PICTURES, 0), (PICTURES, 0)]
    assert scene.count("upstream_calls_total", verb="resolve", outcome="grant") == PICTURES


async def test_on_the_next_day_cloudreve_sends_no_picture(stage: Stage, cloudreve: StandIn, visitor: Profile) -> None:
    """The grants are renewed and the browser gets new URLs; their pictures come from the gateway."""
    hours = Hours(cloudreve)
    scene = await stage.gateway(cloudreve.own_url, Clock(hours.now, hours.timer), pictures={"ttl_s": 7 * 86400.0})
    url, page = gallery(scene, cloudreve.library.gallery(PICTURES)[1]), await visitor.page()
    await look(page, url)
    hours.pass_by(86400)
    await look(page, url)
    assert cloudreve.calls.count("resolve") == 2 * PICTURES
    assert cloudreve.calls.count("fetch") == PICTURES


async def test_two_visitors_of_a_fresh_gallery_see_all_of_it(
    stage: Stage, site: Site, visitor: Profile, other: Profile
) -> None:
    """Together; without the gateway each loses about half to the other's lock conflicts."""
    uris = await site.gallery(PICTURES)
    if isinstance(site, StandInSite):
        site.cloudreve.generator.seconds = 0.05
    scene = await stage.gateway(site.target.base)
    url = gallery(scene, uris)
    pages = [await profile.page() for profile in (visitor, other)]
    seen = await asyncio.gather(*(look(page, url) for page in pages))
    assert seen == [(PICTURES, PICTURES)] * 2
    assert scene.count("upstream_calls_total", verb="resolve", outcome="grant") == PICTURES
