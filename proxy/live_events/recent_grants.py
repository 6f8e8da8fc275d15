"""The files of which a picture was granted lately, by any process: worth asking for when Cloudreve tells of a change.

They are kept by the user or share that they are of, those in shares also by the shares' owner, in texts that all
processes of one Redis or disk share. Two that write at once may take a file out of each other's text; both look again
and add it. A file that is missing is asked for again by its visitors, which is all that depends on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from cachetools import LRUCache

from proxy.cache.shared_values import SharedValues
from proxy.domain.errors import BadRequest
from proxy.domain.file_uri import FileUri, parse, without_password
from proxy.domain.keys import watch_key
from proxy.domain.source import Source
from proxy.domain.tags import UNKNOWN, Tag, files_tag, owner_of, share_of, share_tag, shares_tag
from proxy.grants.change_log import MAX_CONFIRMED
from proxy.grants.found_grant import Authorised

WRITE_S = 0.5
"""How often new files are written. Cloudreve tells of a new thumbnail 5 s later at the earliest."""
MAX_ROOTS = 128
"""Of so many users and shares files are waiting to be written: those of 64 folders, and of their owners' shares."""
MAX_URI_BYTES = 2048


def root_of(uri: FileUri, subject: str) -> Tag | None:
    """Name the share, or the user, whose file it is, as `subject` means it; None where the URI does not say."""
    share, owner = share_of(uri), owner_of(uri, subject)
    return share_tag(share) if share else files_tag(owner) if owner else None


class RecentGrants:
    """Remembers the last files of each user and share."""

    def __init__(
        self, notes: SharedValues, lasts_s: float, owner_of_share: Callable[[str], str | None], *, hears_shares: bool
    ) -> None:
        """`hears_shares`: they are listened to; else their files matter for their owners alone."""
        self._notes = notes
        self._hears_shares = hears_shares
        self._lasts_s = lasts_s
        self._owner_of_share = owner_of_share
        self._new: LRUCache[Tag, dict[str, None]] = LRUCache(MAX_ROOTS)
        """Files that are not known to be in the shared text."""

    def note(self, authorised: Authorised) -> None:
        """Take note of what Cloudreve has just granted: its own pictures, which never change under their name."""
        visitor, request, found = authorised
        if found.source is not Source.UPSTREAM or found.collapsed or not found.grant.own:
            return
        root, text = root_of(request.uri, visitor.identity.subject), without_password(request.uri).text
        if root is None or len(text) > MAX_URI_BYTES:
            return
        share = share_of(request.uri)
        if self._hears_shares or not share:
            self._add(root, text)
        owner = self._owner_of_share(share)
        if owner is not None and owner != UNKNOWN:
            self._add(shares_tag(owner), text)

    def _add(self, root: Tag, text: str) -> None:
        new = self._new.setdefault(root, {})
        new[text] = None
        if len(new) > MAX_CONFIRMED:
            del new[next(iter(new))]

    async def files(self, root: Tag) -> list[FileUri]:
        """Give the last files of a user or share, the last ones last."""
        texts = [*await self._shared(root), *self._new.get(root, ())]
        return [uri for text in dict.fromkeys(texts) if (uri := _parsed(text)) is not None][-MAX_CONFIRMED:]

    async def follow(self) -> None:
        """Write new files, for ever."""
        while True:
            await asyncio.sleep(WRITE_S)
            await self.write()

    async def write(self) -> None:
        """Add new files to the shared texts; a file is new until it has been read there."""
        for root, new in list(self._new.items()):
            shared = await self._shared(root)
            missing = [text for text in new if text not in shared]
            for text in new.keys() - missing:
                del new[text]
            if missing:
                text = "\n".join([*shared, *missing][-MAX_CONFIRMED:])
                await self._notes.set_most_shared(_key(root), text, self._lasts_s)
            elif not new:
                self._new.pop(root, None)

    async def _shared(self, root: Tag) -> Iterable[str]:
        text = await self._notes.get_most_shared(_key(root))
        return dict.fromkeys(text.split("\n")[-MAX_CONFIRMED:]) if text else {}


def _key(root: Tag) -> str:
    return watch_key(f"granted {root.hex()}")


def _parsed(text: str) -> FileUri | None:
    try:
        return parse(text, MAX_URI_BYTES)
    except BadRequest:
        return None
