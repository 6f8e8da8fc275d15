"""Cloudreve's own web page, as a visitor uses it (4.14)."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from tests.browser.page import Page

API = "/api/v4/file/thumb"
_FILES = "button[data-rect-id]"
_SETTLED = f"document.querySelectorAll('{_FILES}').length == {{count}} && !document.querySelector('{_FILES} .MuiSkeleton-root')"
_THUMBNAILS = f"[...document.querySelectorAll('{_FILES} img')].filter(image => image.naturalWidth).length"
_DIALOGS = "[...document.querySelectorAll('[role=dialog], .notistack-Snackbar')].map(found => found.innerText)"


class StockPage:
    """One tab of it."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self._origin = origin

    async def sign_in(self, email: str, password: str) -> None:
        """Fill in the two forms, and wait for the visitor's files."""
        await self.page.go(f"{self._origin}/session")
        await self.page.type("input[type=email]", email)
        await self.page.click("button[type=submit]")
        await self.page.type("input[type=password]", password)
        await self.page.click("button[type=submit]")
        await self.page.until(f"document.querySelector('{_FILES}')")

    async def open(self, folder: str, count: int) -> int:
        """Open a folder by its File URI; give how many thumbnails are to be seen when nothing more comes."""
        await self.page.go(f"{self._origin}/home?{urlencode({'path': folder})}")
        return await self.thumbnails(count)

    async def thumbnails(self, count: int) -> int:
        """Wait until `count` files have either a thumbnail or none; give how many have one."""
        await self.page.until(_SETTLED.format(count=count))
        found: int = await self.page.js(_THUMBNAILS)
        return found

    async def upload(self, files: list[Path]) -> None:
        """Choose "Upload files" in the menu "New", and give files to the field behind it."""
        await self._press("button", "New")
        await self._press("[role=menuitem]", "Upload files")
        await self.page.choose("#upload-file-input-1", files)

    async def complaints(self) -> list[str]:
        """Read the dialogs and notices that are open."""
        found: list[str] = await self.page.js(_DIALOGS)
        return found

    async def _press(self, selector: str, text: str) -> None:
        """Press what is called so."""
        found = f"[...document.querySelectorAll('{selector}')].find(found => found.innerText.trim() == '{text}')"
        await self.page.until(found)
        await self.page.js(f"{found}.click()")
