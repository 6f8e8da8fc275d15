"""Purge: an operator ends what was granted of a file, a folder, a user or a share, and drops what was kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TypeAlias

import msgspec

from proxy.cache.tiers import Tiers
from proxy.domain.errors import BadRequest
from proxy.domain.file_uri import parse
from proxy.domain.tags import (
    EVERYTHING,
    SHARED_WITH_ME,
    UNKNOWN,
    Tag,
    files_tag,
    path_tag,
    share_tag,
    shares_tag,
    user_tag,
)
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.change_log import LogEntry

MAX_URI_BYTES = 4096
CHUNK = 500
"""So many entries are dropped before others have their turn."""


class Purge(msgspec.Struct, forbid_unknown_fields=True):
    """The subject of a purge; one of these."""

    uri: str = ""
    """A file, as a File URI that means the same for every visitor."""
    prefix: str = ""
    """A folder, likewise, with all that is in it."""
    user: str = ""
    """All of a user's files, the user's shares, and what the user was granted; by id."""
    share: str = ""
    """All that is in a share; by id."""
    all: bool = False
    """Everything."""


class Purged(msgspec.Struct):
    """The numbers of answers and pictures that a purge has ended."""

    processes: int
    """So many have confirmed it. One that cannot be reached does it as soon as it can be."""
    answers: int
    """Ready answers that were dropped, over all processes."""
    pictures: int
    """Pictures and variants that were dropped, over all processes."""
    waiting: int
    """1 where the other processes could not be told yet; that is tried again until they have been."""


GivePurge: TypeAlias = Callable[[Purge], Awaitable[Purged]]
"""Purges in all processes."""


def purge_tags(purge: Purge) -> tuple[Tag, ...]:
    """Give the tags of what is to be purged; raise BadRequest where that is not one thing."""
    given = [name for name in purge.__struct_fields__ if getattr(purge, name)]
    if len(given) != 1:
        raise BadRequest("Name one of uri, prefix, user, share and all.")
    if purge.all:
        return (EVERYTHING,)
    if purge.share:
        return (share_tag(purge.share), SHARED_WITH_ME)
    if purge.user:
        shares = (shares_tag(purge.user), shares_tag(UNKNOWN), SHARED_WITH_ME)
        return (user_tag(purge.user), files_tag(purge.user), *shares)
    uri = parse(purge.uri or purge.prefix, MAX_URI_BYTES)
    if not uri.is_absolute:
        raise BadRequest("Name the owner: cloudreve://{user id}@my/path, or cloudreve://{share id}@share/path.")
    return (path_tag(uri, ""),)


async def purged(feed: ChangeFeed, purge: Purge) -> Purged:
    """Purge in all processes, and say what has been ended; raise BadRequest for what cannot be purged."""
    replies = await feed.purge(purge_tags(purge))
    answers, pictures = (sum(reply.ended[column] for reply in replies) for column in (0, 1))
    return Purged(len(replies), answers, pictures, int(feed.waiting > 0))


class Purger:
    """Deletes, in this process, the entries that purges end, at whichever process they were ordered."""

    def __init__(self, feed: ChangeFeed, drop: Callable[[Collection[Tag]], list[str]], tiers: Tiers) -> None:
        self._feed = feed
        self._drop = drop
        self._tiers = tiers

    async def follow(self) -> None:
        """Go on for ever."""
        while True:
            purge = await self._feed.purges.get()
            self._feed.reply(purge, await self._ended(purge))

    async def _ended(self, purge: LogEntry) -> tuple[int, int]:
        shown = self._drop(purge.tags)
        if EVERYTHING in purge.tags:
            await self._tiers.clear()
            return len(shown), len({*filter(None, shown)})
        keys = [*{key for each in filter(None, shown) for key in _of_picture(each)}]
        for at in range(0, len(keys), CHUNK):
            await asyncio.gather(*map(self._tiers.delete, keys[at : at + CHUNK]))
        return len(shown), len({*filter(None, shown)})


def _of_picture(key: str) -> tuple[str, ...]:
    """Give the keys of a picture or variant, of its original, and of what is known of both."""
    original = key.partition(".")[0]
    return key, original, f"{key}.info", f"{original}.info"
