"""The files that a request names, as far as they are read one by one."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from proxy.domain.file_uri import FileUri
from proxy.grants.changing_requests import Changing, Kind, named_uris

MAX_URIS = 200
"""A body that names more is about any file of its author's: reading all would hold up everybody else."""
_URI = b"cloudreve:"


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """The files that a request names, and where it moves them to; with `are_many` none is listed."""

    query: str = ""
    body: bytes | None = None
    uris: Collection[FileUri] = ()
    session: str = ""
    are_many: bool = False

    @classmethod
    def of(cls, query: str, body: bytes | None) -> NamedFiles:
        """Read a request's query, as received, and its body."""
        if body is not None and body.count(_URI) > MAX_URIS:
            return cls(query, body, are_many=True)
        return cls(query, body, *named_uris(query, body))

    def but(self, failed: Collection[FileUri]) -> NamedFiles:
        """Leave out those that Cloudreve has left as they were."""
        return replace(self, uris=named_uris(self.query, self.body, failed)[0])

    def are_of(self, subject: str) -> bool:
        """Tell whether all are the user's own; of many, as far as that is seen at a glance."""
        if self.are_many and self.body is not None:
            own = re.compile(b'"cloudreve://(?:%b@)?my[/"]' % re.escape(subject.encode()))
            return len(own.findall(self.body)) == self.body.count(_URI)
        roots = tuple(f"cloudreve://{owner}my/" for owner in ("", f"{subject}@"))
        return all(f"{uri.text}/".startswith(roots) for uri in self.uris)


def is_own(kind: Changing, subject: str, named: NamedFiles, owner_of_share: Callable[[str], str | None]) -> bool:
    """Tell whether a request is about its author's own files alone: of others' nothing ends before Cloudreve agrees."""
    match kind.kind:
        case Kind.DAV | Kind.ADMIN:
            return False
        case Kind.SESSION:
            return bool(kind.name)
        case Kind.SHARE:
            return bool(kind.name) and owner_of_share(kind.name) == subject
        case _:
            return named.are_of(subject)
