"""The status page in a browser: orders are given by its buttons, and it tells how they went."""

from __future__ import annotations

import pytest

from proxy.standin.standin import StandIn
from tests.browser.page import Profile
from tests.harness.gateways import gateway_of, in_share

pytestmark = pytest.mark.needs("chromium")

_TEXT = "document.querySelector('{}').textContent.includes({!r})"


async def test_a_folder_is_warmed_and_purged_by_buttons(cloudreve: StandIn, visitor: Profile) -> None:
    """A mistake in an order is told beside it; after warming a picture is at hand, after a purge no more."""
    async with gateway_of(cloudreve.own_url) as gateway:
        page = await visitor.page()
        await page.go(f"{gateway.admin}/")
        await page.type("#warm [name=uri]", "no URI")
        await page.click("#warm button")
        await page.until("document.querySelector('#warmed').textContent.length > 0")
        assert "begun" not in await page.js("document.querySelector('#warmed').textContent")
        await page.js("document.querySelector('#warm').reset()")
        await page.type("#warm [name=uri]", f"cloudreve://{cloudreve.library.share.id}@share")
        await page.click("#warm button")
        await page.until(_TEXT.format("#warmed", "begun"))
        await page.until(_TEXT.format("#warming", "Warmed: "))
        assert (await gateway.ask(in_share(cloudreve))).is_hit
        await page.js("document.querySelector('#purge [name=kind]').value = 'share'")
        await page.type("#purge [name=value]", cloudreve.library.share.id)
        await page.click("#purge button")
        await page.until(_TEXT.format("#purged", "Purged: "))
        assert not (await gateway.ask(in_share(cloudreve))).is_hit


async def test_where_there_is_a_token_the_page_asks_for_it(cloudreve: StandIn, visitor: Profile) -> None:
    """Orders without it are refused."""
    async with gateway_of(cloudreve.own_url, admin={"token": "secret-secret"}) as gateway:
        page = await visitor.page()
        await page.go(f"{gateway.admin}/")
        await page.until("!document.querySelector('#guard').hidden")
        await page.type("#warm [name=uri]", f"cloudreve://{cloudreve.library.share.id}@share")
        await page.click("#warm button")
        await page.until(_TEXT.format("#warmed", "admin.token"))
        await page.type("#guard [name=token]", "secret-secret")
        await page.click("#warm button")
        await page.until(_TEXT.format("#warmed", "begun"))
        await page.until(_TEXT.format("#warming", "Warmed: "))
