"""Asks Cloudreve which picture lies where it has told of a change, so that grants of that picture do not end.

Cloudreve tells of a new thumbnail as of a change of its file (docs/cloudreve.md, Events). Where a picture was granted
lately, one question tells a new thumbnail from a new version: the change ends all grants of the file but those of the
picture that Cloudreve names now, for everybody and in every process, sealed URLs included. Nothing is left alone that
was not confirmed: not where Cloudreve refuses, fails or takes longer than `CONFIRM_S`, and no picture on other storage,
whose name does not tell its version. That a file was renamed or deleted is told at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from proxy.background_tasks import BackgroundTasks
from proxy.domain.credentials import Credentials
from proxy.domain.errors import ProxyError
from proxy.domain.file_uri import FileUri
from proxy.domain.grant import Grant
from proxy.domain.tags import Tag, name_of, path_tag, picture_tag, shares_tag
from proxy.grants.change_feed import ChangeFeed
from proxy.live_events.recent_grants import RecentGrants, root_of
from proxy.live_events.watched_folder import WatchedFolder
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.event_streams import FileEvent

CONFIRM_S = 2.5
"""How long a change waits for Cloudreve's word. Its event comes 4 to 6 s after it, and all are to know within ten."""
CALLS = 4
"""How many files are asked for at once."""

Bearer: TypeAlias = Callable[[], Awaitable[str]]
"""Gives a token that is good for a call; raises ProxyError where there is none."""


@dataclass(frozen=True, slots=True)
class _Named:
    """The pictures that Cloudreve names now, by the tags of their files."""

    in_folder: dict[Tag, Tag] = field(default_factory=dict)
    in_shares: dict[Tag, Tag] = field(default_factory=dict)
    """Of files in shares of the folder's user."""

    def copy(self) -> _Named:
        """Copy the pictures that are known by now: a late answer counts no more."""
        return _Named(self.in_folder.copy(), self.in_shares.copy())

    def __len__(self) -> int:
        return len(self.in_folder) + len(self.in_shares)


class Confirmation:
    """Tells of changes, with what Cloudreve confirms."""

    def __init__(self, cloudreve: Cloudreve, recent: RecentGrants, feed: ChangeFeed, calls: BackgroundTasks) -> None:
        self._cloudreve = cloudreve
        self._recent = recent
        self._feed = feed
        self._calls = calls
        self._slots = asyncio.Semaphore(CALLS)

    async def tell(
        self, folder: WatchedFolder, events: list[FileEvent], owner: str, bearer: Bearer, since: float, *, has_gap: bool
    ) -> int:
        """Tell of events within `CONFIRM_S`, also when cancelled; return how many files were confirmed.

        They may have waited since a time of the loop. `owner` is whose share the folder is in. With a gap, anything
        else in the folder may have changed as well.
        """
        contents = [event for event in events if event.is_content]
        if others := [event for event in events if not event.is_content]:
            self._feed.tell(folder.event_tags(others, owner))
        named, until = _Named(), since + CONFIRM_S
        try:
            if contents or has_gap:
                uris = None if has_gap else [folder.below(event.path) for event in contents]
                with suppress(TimeoutError, ProxyError):
                    async with asyncio.timeout_at(until):
                        await self._ask(folder, uris, await bearer(), named, until)
        finally:
            named = named.copy()
            if has_gap:
                itself, *shares = folder.tags()
                self._feed.tell((itself,), frozenset(named.in_folder.items()))
                if shares:  # which show its files under paths of their own
                    self._feed.tell(shares, frozenset(named.in_shares.items()))
            self._tell_contents(folder, contents, owner, named)
        return len(named)

    def _tell_contents(self, folder: WatchedFolder, events: list[FileEvent], owner: str, named: _Named) -> None:
        """Tell of each file by itself which picture may stay, and of all others together."""
        unconfirmed, in_shares = [], frozenset(named.in_shares.items())
        for event in events:
            picture = named.in_folder.get(path_tag(folder.below(event.path), folder.subject))
            if picture is None:
                unconfirmed.append(event)
            else:
                tags = folder.event_tags([event], owner)
                self._feed.tell(tags, in_shares | {(tag, picture) for tag in tags})
        if unconfirmed:
            self._feed.tell(folder.event_tags(unconfirmed, owner), in_shares)

    async def _ask(
        self, folder: WatchedFolder, uris: list[FileUri] | None, bearer: str, named: _Named, until: float
    ) -> None:
        """Fill in which pictures Cloudreve names, by the tags of their files, of those that were granted lately.

        They are those at `uris`, or all in the folder; and those in shares of its user, of the same names or all.
        """
        root = root_of(folder.uri, folder.subject)
        recent = await self._recent.files(root) if root is not None else []
        in_folder = {path_tag(uri, folder.subject): uri for each in recent if (uri := folder.seen(each)) is not None}
        files = None if uris is None else {path_tag(uri, folder.subject) for uri in uris}
        calls = [
            self._calls.start(self._name(file, uri, bearer, named.in_folder, until))
            for file, uri in in_folder.items()
            if files is None or file in files
        ]
        names = None if uris is None else {name_of(uri) for uri in uris}
        in_shares = await self._recent.files(shares_tag(folder.subject)) if not folder.share else []
        calls += [
            self._calls.start(self._name(path_tag(uri, folder.subject), uri, bearer, named.in_shares, until))
            for uri in in_shares
            if names is None or name_of(uri) in names
        ]
        if calls:
            await asyncio.wait(calls)

    async def _name(self, file: Tag, uri: FileUri, bearer: str, named: dict[Tag, Tag], until: float) -> None:
        """Ask for one file, to the end: Cloudreve takes it amiss when a caller leaves while it generates."""
        async with self._slots:
            if asyncio.get_running_loop().time() >= until:
                return
            with suppress(ProxyError):
                resolution = await self._cloudreve.resolve(uri, Credentials(bearer))
                if isinstance(resolution, Grant) and resolution.own:
                    named[file] = picture_tag(resolution.picture)
