"""A page's requests, and their bytes that came over the network."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Exchange:
    """One request of a page, and how it ended."""

    method: str
    url: str
    kind: str
    """Its purpose: Document, Image, Fetch, XHR ..."""
    status: int = 0
    is_cached: bool = False
    """Answered by the browser alone, or by its service worker."""
    received_bytes: int = 0
    """The bytes that came over the network, head included."""
    failure: str = ""
    is_over: bool = False
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """The answer's, names in lower case."""


class Traffic:
    """All exchanges of one page since it was last forgotten, in the order in which they began."""

    def __init__(self) -> None:
        self._exchanges: dict[str, Exchange] = {}
        self._redirected: list[Exchange] = []
        self._ended = asyncio.Event()

    @property
    def all(self) -> list[Exchange]:
        """List them; those that ended in a redirect first."""
        return [*self._redirected, *self._exchanges.values()]

    def of(self, part: str) -> list[Exchange]:
        """List those whose URL has this part."""
        return [exchange for exchange in self.all if part in exchange.url]

    @property
    def images(self) -> list[Exchange]:
        """List those that were for pictures of the page."""
        return [exchange for exchange in self.all if exchange.kind == "Image"]

    @property
    def downloads(self) -> list[Exchange]:
        """List the pictures that came over the network."""
        return [image for image in self.images if not image.is_cached]

    async def pictures_ended(self) -> None:
        """Wait until all is known of the pictures that the page has asked for: a page may be loaded before that."""
        while not all(image.is_over for image in self.images):
            self._ended.clear()
            await self._ended.wait()

    def forget(self) -> None:
        """Begin anew."""
        self._exchanges.clear()
        self._redirected.clear()

    def hear(self, event: str, said: dict[str, Any]) -> None:
        """Take down an event of the protocol's domain Network."""
        name = said.get("requestId", "")
        if event == "Network.requestWillBeSent":
            self._begin(name, said)
        elif (exchange := self._exchanges.get(name)) is not None:
            _note(exchange, event, said)
            if exchange.is_over:
                self._ended.set()

    def _begin(self, name: str, said: dict[str, Any]) -> None:
        request = said["request"]
        if "redirectResponse" in said and name in self._exchanges:
            before = self._exchanges.pop(name)
            before.status = said["redirectResponse"]["status"]
            self._redirected.append(before)
        if not request["url"].startswith(("data:", "blob:")):
            self._exchanges[name] = Exchange(request["method"], request["url"], said.get("type", ""))


def _note(exchange: Exchange, event: str, said: dict[str, Any]) -> None:
    if event == "Network.requestServedFromCache":
        exchange.is_cached = True
    elif event == "Network.responseReceived":
        response = said["response"]
        exchange.status = response["status"]
        exchange.headers = {key.lower(): value for key, value in response["headers"].items()}
        exchange.is_cached |= response.get("fromDiskCache", False) or response.get("fromServiceWorker", False)
    elif event == "Network.loadingFinished":
        exchange.is_over = True
        exchange.received_bytes = 0 if exchange.is_cached else int(said["encodedDataLength"])
    elif event == "Network.loadingFailed":
        exchange.is_over = True
        exchange.failure = said.get("blockedReason") or said["errorText"]
