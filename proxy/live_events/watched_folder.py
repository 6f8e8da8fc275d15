"""A folder whose changes are listened to, and what a change in it ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.domain.file_uri import FileUri, child, share_root, without_password
from proxy.domain.tags import (
    UNKNOWN,
    Tag,
    name_of,
    named_in_shares_tag,
    path_tag,
    place_tags,
    share_of,
)
from proxy.grants.changing_requests import Kind, tags_of_files
from proxy.upstream.event_streams import FileEvent

_KINDS = {"create": Kind.CONTENT, "modify": Kind.CONTENT, "rename": Kind.FILES, "delete": Kind.FILES}
"""What is created or modified is a file, or a folder in which nothing was shown before."""


@dataclass(frozen=True, slots=True)
class WatchedFolder:
    """A folder, as one user means it."""

    uri: FileUri = field(repr=False)
    subject: str
    """The user with whose eyes it is seen, by id."""

    @property
    def name(self) -> str:
        """Name it for leases and notes: the same in all processes."""
        return f"{self.subject} {without_password(self.uri).text}"

    @property
    def share(self) -> str:
        """Give the share that it is in, by id; empty for none."""
        return share_of(self.uri)

    def below(self, path: str) -> FileUri:
        """Return the file or folder at a path from here, as an event tells it."""
        uri = self.uri
        for name in filter(None, path.split("/")):
            uri = child(uri, name)
        return uri

    def seen(self, uri: FileUri) -> FileUri | None:
        """Return a file as this folder's user sees it; None for one that is not in the folder."""
        if path_tag(self.uri, self.subject) not in place_tags(uri, self.subject):
            return None
        return FileUri("/".join([share_root(self.uri).text, *uri.text.split("/")[3:]]), self.uri.filesystem)

    def tags(self) -> tuple[Tag, ...]:
        """Give the tags of a change of anything in it."""
        if self.share:
            return (path_tag(self.uri, self.subject),)
        return tags_of_files([self.uri], Kind.FILES, self.subject, lambda _: None)

    def event_tags(self, events: Iterable[FileEvent], share_owner: str = UNKNOWN) -> tuple[Tag, ...]:
        """Give the tags of what some events tell; `share_owner` is whose share it is in."""
        return tuple(dict.fromkeys(tag for event in events for tag in self._event_tags(event, share_owner)))

    def _event_tags(self, event: FileEvent, share_owner: str) -> tuple[Tag, ...]:
        kind = _KINDS.get(event.type)
        uris = [self.below(path) for path in (event.path, event.to) if path]
        if kind is None or not uris:
            return self.tags()
        if not self.share:
            return tags_of_files(uris, kind, self.subject, lambda _: None)
        # Where the owner has the same files is not told here; in the owner's other shares they have the same names.
        named = (named_in_shares_tag(share_owner, name_of(uri)) for uri in uris if share_owner != UNKNOWN)
        return (*(path_tag(uri, self.subject) for uri in uris), *named)
