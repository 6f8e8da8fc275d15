"""Cloudreve's own web page, as a visitor uses it (4.14)."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.browser.page import Page

API = "/api/v4/file/thumb"
_MARK = b'id="app-loader"'
_FILES = "button[data-rect-id]"
_SETTLED = """document.querySelectorAll('{files}').length == {count}
  && !document.querySelector('{files} .MuiSkeleton-root')
  && [...document.querySelectorAll('{files} img')].every(image => image.complete)"""
_THUMBNAILS = f"[...document.querySelectorAll('{_FILES} img')].filter(image => image.naturalWidth).length"
_DIALOGS = "[...document.querySelectorAll('[role=dialog], .notistack-Snackbar')].map(found => found.innerText)"


def is_served(base: str | None) -> bool:
    """Tell whether there is a Cloudreve at this address, with its page and not only its API."""
    try:
        with urlopen(f"{base}/", timeout=5) as answer:  # noqa: S310 - the address that the environment names
            return base is not None and _MARK in answer.read()
    except (URLError, ValueError):
        return False


class StockPage:
    """One tab of it."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self._origin = origin

    async def sign_in(self, email: str, password: str) -> None:
        """Open the form, fill it in, and wait for the visitor's files."""
        await self.page.go(f"{self._origin}/session")
        await self.give_password(email, password)
        await self.page.until(f"document.querySelector('{_FILES}')")

    async def give_password(self, email: str, password: str) -> None:
        """Fill in the two forms, wherever they lead."""
        await self.page.type("input[type=email]", email)
        await self.page.click("button[type=submit]")
        await self.page.type("input[type=password]", password)
        await self.page.click("button[type=submit]")

    async def open(self, folder: str) -> None:
        """Open a folder by its File URI."""
        await self.page.go(f"{self._origin}/home?{urlencode({'path': folder})}")

    async def thumbnails(self, count: int) -> int:
        """Wait until so many files have either a thumbnail or none; give how many have one."""
        await self.page.until(_SETTLED.format(files=_FILES, count=count))
        found: int = await self.page.js(_THUMBNAILS)
        return found

    async def upload(self, files: list[Path]) -> None:
        """Choose "Upload files" in the menu "New", and give files to the field behind it."""
        await self.press("button", "New")
        await self.press("[role=menuitem]", "Upload files")
        await self.page.choose("#upload-file-input-1", files)

    async def complaints(self) -> list[str]:
        """Read the dialogs and notices that are open."""
        found: list[str] = await self.page.js(_DIALOGS)
        return found

    async def press(self, selector: str, text: str) -> None:
        """Press what is called so."""
        found = f"[...document.querySelectorAll('{selector}')].find(found => found.innerText.trim() == '{text}')"
        await self.page.until(found)
        await self.page.js(f"{found}.click()")
