"""Files whose thumbnails exist, and which picture each has last named: another one means that the file was replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cachetools import LRUCache

from proxy.domain.grant import Grant
from proxy.domain.tags import Tag, picture_tag

KNOWN_FILES = 100_000


class _Named(NamedTuple):
    """A picture, and the hash of its URL without the query."""

    picture: Tag
    object_hash: int


class KnownThumbnails:
    """Tells of a change where a file names another picture than before: then all grants of the old one end.

    So a new version is seen of which no request came by: storage that tells Cloudreve of an upload itself, for one.
    A URL that differs in its query alone names the same object, signed in a way that is not known here.
    """

    def __init__(self, tell: Callable[[tuple[Tag, ...]], None]) -> None:
        self._tell = tell
        self._named: LRUCache[str, _Named] = LRUCache(KNOWN_FILES)

    def __contains__(self, file: str) -> bool:
        """Tell whether a file's thumbnail has been made; files go by the names of their turns."""
        return file in self._named

    def note(self, file: str, grant: Grant) -> None:
        """Take note of what Cloudreve has just granted."""
        before, named = self._named.get(file), _Named(picture_tag(grant.picture), hash(grant.url.partition("?")[0]))
        self._named[file] = named
        if before is not None and before.picture != named.picture and before.object_hash != named.object_hash:
            self._tell((before.picture,))
