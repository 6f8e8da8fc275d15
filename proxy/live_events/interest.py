"""Which users' files and which shares are asked for, and how much: whether it is worth listening to their changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from cachetools import LRUCache

from proxy.domain.client import BACKGROUND, Client
from proxy.domain.file_uri import FileUri, share_root
from proxy.domain.identity import IdentityKind
from proxy.domain.session import SessionRef
from proxy.domain.tags import Tag, files_tag, owner_of, share_of, share_tag
from proxy.grants.found_grant import Authorised

HALF_S = 600.0
"""After so long without a request a root is half as hot."""
ACTIVE_S = 600.0
"""After so long without a request a user counts as gone."""
MAX_ROOTS = 10_000
"""So many roots are remembered."""
SOLE_SHARE = 4
"""Of the roots that are worth it, one client alone may have one in so many while others want some."""
_SEVERAL = 2

MY = FileUri("cloudreve://my", "my")
"""A user's own files."""


@dataclass(slots=True)
class Root:
    """All files of a user, or a share."""

    uri: FileUri = field(repr=False)
    """With the password that has opened it, if it takes one."""
    subject: str = ""
    """The user whose files they are, by id; empty for a share."""
    bearer: str = field(default="", repr=False)
    """That user's last access token."""
    session: SessionRef | None = None
    """The session that it is of, if any."""
    heat: float = 0.0
    heated_at: float = 0.0
    asked_at: float = 0.0
    clients: set[Client] = field(default_factory=set)
    """Those that have asked lately, two at most: it matters only whether one is alone."""

    def heat_at(self, now: float) -> float:
        """Tell how hot it is: in how many seconds it was asked for, long ago counting less."""
        return self.heat * float(2 ** ((self.heated_at - now) / HALF_S))

    def touch(self, now: float) -> None:
        """Take note of a request; more within a second make it no hotter."""
        self.asked_at = now
        if now - self.heated_at >= 1.0 or not self.heat:
            self.heat, self.heated_at = self.heat_at(now) + 1.0, now


class Interest:
    """Remembers what was asked for. Times are the timer's, in seconds."""

    def __init__(self, timer: Callable[[], float], lasts_s: float, has_ended: Callable[[SessionRef], bool]) -> None:
        self._timer = timer
        self._lasts_s = lasts_s
        """How long a grant may last: when a share was not asked for during that, none is left."""
        self._has_ended = has_ended
        self._roots: LRUCache[Tag, Root] = LRUCache(MAX_ROOTS)

    def note(self, authorised: Authorised) -> None:
        """Take note of a request that was granted."""
        visitor, request, _ = authorised
        identity, share = visitor.identity, share_of(request.uri)
        if request.client == BACKGROUND or identity.kind is IdentityKind.ACCOUNT:
            return
        if share:
            root = self._root(share_tag(share), share_root(request.uri))
        elif identity.kind is IdentityKind.USER and owner_of(request.uri, identity.subject) == identity.subject:
            root = self._root(files_tag(identity.subject), MY)
            root.subject, root.session = identity.subject, visitor.session
            root.bearer = visitor.credentials.bearer or ""
        else:
            return
        if len(root.clients) < _SEVERAL:
            root.clients.add(request.client)
        root.touch(self._timer())

    def touch(self, tags: Collection[Tag]) -> None:
        """Take note of an answer that has been given again, by the tags that it rests on."""
        now = self._timer()
        for tag in tags:
            root = self._roots.get(tag)
            if root is not None:
                root.touch(now)

    def roots(self, most: int) -> list[Root]:
        """Give the hottest roots that are still asked for, `most` at most."""
        now = self._timer()
        found = sorted(self._live(now), key=lambda root: -root.heat_at(now))
        sole: Counter[Client] = Counter()
        first: list[Root] = []
        later: list[Root] = []
        for root in found:
            client = next(iter(root.clients)) if len(root.clients) == 1 else None
            if client is not None:
                sole[client] += 1
            is_fair = client is None or sole[client] <= max(most // SOLE_SHARE, 1)
            (first if is_fair else later).append(root)
        return [*first, *later][:most]

    def _live(self, now: float) -> Iterator[Root]:
        for root in list(self._roots.values()):
            is_over = root.session is not None and self._has_ended(root.session)
            if not is_over and now - root.asked_at < (ACTIVE_S if root.subject else self._lasts_s):
                yield root

    def _root(self, tag: Tag, uri: FileUri) -> Root:
        root: Root | None = self._roots.get(tag)
        if root is None:
            root = self._roots[tag] = Root(uri)
        root.uri = uri
        return root
