"""Changes without an event: a share is edited, ends or is deleted. They are asked for while its folder is watched."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from proxy.domain.errors import ProxyError
from proxy.domain.tags import password_of, share_tag
from proxy.grants.change_feed import ChangeFeed
from proxy.live_events.watched_folder import WatchedFolder
from proxy.upstream.cloudreve import Cloudreve

ASK_S = 5.0
"""How often a share is asked for: its visitors are to know of its end within ten seconds."""


class ShareTerms:
    """Asks what a share is like, and ends all grants in it when that has changed."""

    def __init__(self, cloudreve: Cloudreve, feed: ChangeFeed) -> None:
        self._cloudreve = cloudreve
        self._feed = feed

    async def known(self, folder: WatchedFolder) -> bytes:
        """Tell what a share is like now, as a digest; raise ProxyError where Cloudreve does not answer."""
        return await self._cloudreve.share_terms(folder.share, password_of(folder.uri))

    async def follow(self, folder: WatchedFolder, known: bytes) -> None:
        """Go on until cancelled."""
        while True:
            await asyncio.sleep(ASK_S)
            with suppress(ProxyError):
                found = await self.known(folder)
                if found != known:
                    known = found
                    self._feed.tell((share_tag(folder.share),))
