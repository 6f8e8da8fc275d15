"""Which users' files and which shares are asked for, and how much: whether it is worth listening to their changes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

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
HYSTERESIS = math.log2(2.0)
"""How much hotter another root has to be to take the place of a chosen one: twice as hot."""
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
    heat: float = -math.inf
    """In how many seconds it was asked for, each counting half after `HALF_S`: the logarithm to base 2, at time 0.

    With one time for all, roots are compared at any time, and none has to be cooled down.
    """
    asked_at: float = -math.inf
    heated_at: float = -math.inf
    is_chosen: bool = False
    """Whether it was among the hottest when these were asked for last."""
    put_off_until: float = -math.inf
    """It is not worth it before."""
    clients: set[Client] = field(default_factory=set)
    """Those that have asked lately, two at most: it matters only whether one is alone."""

    def touch(self, now: float) -> None:
        """Take note of a request; more within a second make it no hotter."""
        self.asked_at = now
        if now - self.heated_at >= 1.0:
            age = now / HALF_S
            self.heat, self.heated_at = math.log2(2.0 ** (self.heat - age) + 1.0) + age, now

    @property
    def rank(self) -> float:
        """Tell its heat for comparison with others; a chosen one stays before those that are alike."""
        return self.heat + HYSTERESIS if self.is_chosen else self.heat


class Interest:
    """Remembers what was asked for. Times are the timer's, in seconds."""

    def __init__(
        self,
        timer: Callable[[], float],
        lasts_s: float,
        has_ended: Callable[[SessionRef], bool],
        *,
        hears_shares: bool,
    ) -> None:
        """`hears_shares`: there is an account to listen to them with; else they take nobody's place."""
        self._timer = timer
        self._hears_shares = hears_shares
        self._lasts_s = lasts_s
        """How long a grant may last: when a share was not asked for during that, none is left."""
        self._has_ended = has_ended
        self._roots: dict[Tag, Root] = {}
        """Those that were granted to somebody last are last."""

    def note(self, authorised: Authorised) -> None:
        """Take note of a request that was granted."""
        visitor, request, _ = authorised
        identity, share = visitor.identity, share_of(request.uri)
        if request.client == BACKGROUND or identity.kind is IdentityKind.ACCOUNT or (share and not self._hears_shares):
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
        self._roots = {tag: root for tag, root in self._roots.items() if not self._is_over(root, now)}
        found = sorted(
            (root for root in self._roots.values() if root.put_off_until <= now), key=lambda root: -root.rank
        )
        sole: Counter[Client] = Counter()
        first: list[Root] = []
        later: list[Root] = []
        for root in found:
            client = next(iter(root.clients)) if len(root.clients) == 1 else None
            if client is not None:
                sole[client] += 1
            is_fair = client is None or sole[client] <= max(most // SOLE_SHARE, 1)
            (first if is_fair else later).append(root)
            if len(first) == most:
                break
        chosen = [*first, *later][:most]
        for root in found:
            root.is_chosen = False
        for root in chosen:
            root.is_chosen = True
        return chosen

    def put_off(self, root: Root, seconds: float) -> None:
        """Have a root be worth it no more for so long."""
        root.put_off_until = self._timer() + seconds

    def _is_over(self, root: Root, now: float) -> bool:
        if root.session is not None and self._has_ended(root.session):
            return True
        return now - root.asked_at >= (ACTIVE_S if root.subject else self._lasts_s)

    def _root(self, tag: Tag, uri: FileUri) -> Root:
        root = self._roots.pop(tag, None)
        if root is None:
            root = Root(uri)
            if len(self._roots) >= MAX_ROOTS:
                del self._roots[next(iter(self._roots))]
        self._roots[tag] = root
        root.uri = uri
        return root
