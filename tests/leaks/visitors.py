"""Visitors, their credentials, and the identity that a gateway may give them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

from proxy.standin import gourl
from proxy.standin.gourl import Address
from proxy.standin.site import Site
from tests.leaks.scene import PUBLISHED, Replica
from tests.leaks.witness import ANYBODY, SLACK_S, Who

THUMB, API, INFO = "/thumb", "/api/v4/file/thumb", "/thumb/info"
BELIEF_S = 300.0
"""How long a token is believed without asking Cloudreve."""
ALIVE_S = 2.0
"""How long another replica may take to notice that a session has ended."""
SCOPES = ("Files.Read", "offline_access", "openid")
OWN = "cloudreve://my/secret/b.png"
"""Files that are nobody's but their owner's."""


@dataclass(slots=True)
class Token:
    """An access token, and what Cloudreve thinks of it."""

    text: str
    who: Who | None
    """None for one that has never been good."""
    ends: float
    voided: float | None = None
    """When Cloudreve has changed its key."""

    def is_shaky(self, now: float) -> bool:
        """Tell whether a gateway may still believe in it when Cloudreve does not."""
        return self.voided is not None or now > self.ends - SLACK_S

    def whose(self, now: float, *, checks_here: bool) -> Who | None:
        """Name whoever it may count for."""
        is_void = self.voided is not None and not checks_here and now > self.voided + BELIEF_S + SLACK_S
        return None if is_void or now > self.ends + SLACK_S else self.who


@dataclass(slots=True)
class Session:
    """A session, all its cookies, and how it came to its end."""

    who: Who
    cookies: list[str]
    ends: float
    is_void: bool = False
    """Whether Cloudreve has changed its key."""
    root: str = ""
    """The sign-in that its refresh tokens come from."""
    ended: float | None = None
    ended_at: tuple[Replica, int] | None = None
    """The replica that was told, and which of its generations."""
    is_noted: bool = False
    """Whether Redis still tells all others."""

    def whose(self, now: float, replica: Replica, *, hears: bool) -> Who | None:
        """Name whoever its cookie may count for at a replica, which hears of sign-outs or not."""
        if now > self.ends + SLACK_S:
            return None
        if self.ended is None:
            return self.who
        if self.ended_at == (replica, replica.generation):
            return None
        is_known = self.is_noted and hears and now > self.ended + ALIVE_S + SLACK_S
        return None if is_known else self.who


class Allowed(NamedTuple):
    """For whom a gateway may take an asker: what it says is for all, and what it says is for one."""

    public: frozenset[Who] = frozenset()
    private: frozenset[Who] = frozenset()


@dataclass(frozen=True, slots=True)
class Ask:
    """A request; equal ones are the same bytes."""

    uri: str
    token: Token | None = field(default=None, hash=False)
    session: Session | None = field(default=None, hash=False)
    cookie: str = ""
    ticket: str = ""
    hint: str = ""
    etag: str = ""
    site: str = ""
    """`Sec-Fetch-Site` of the asking page, if there is a browser."""
    method: str = "GET"
    route: str = THUMB
    accept: str = ""
    size: str = ""
    """An addition to the query."""

    @property
    def is_api(self) -> bool:
        """Tell whether a sealed URL is asked for."""
        return self.route == API

    @property
    def is_info(self) -> bool:
        """Tell whether it is asked what is known of a picture."""
        return self.route == INFO

    @property
    def address(self) -> Address | None:
        """Tell what the File URI means to Cloudreve; None for nothing."""
        try:
            return gourl.read(self.uri)
        except gourl.NotAnAddress:
            return None

    @property
    def raw(self) -> bytes:
        """Write it."""
        target = f"{self.route}?uri={quote(self.uri, safe='')}{self.size}"
        return written(self.method, target, self._fields())

    def _fields(self) -> Iterator[tuple[str, str]]:
        if self.token is not None:
            yield "Authorization", f"Bearer {self.token.text}"
        if self.cookie:
            yield "Cookie", f"thumb_session={self.cookie}"
        if self.ticket:
            yield "X-Cr-Purchase-Ticket", self.ticket
        if self.hint:
            yield "X-Cr-Context-Hint", self.hint
        if self.etag:
            yield "If-None-Match", self.etag
        if self.accept:
            yield "Accept", self.accept
        if self.site:
            yield "Sec-Fetch-Site", self.site

    def allowed(self, site: Site, replica: Replica, *, hears: bool, checks_here: bool) -> Allowed:
        """Tell for whom the asker may be taken."""
        now = site.now()
        if self.token is not None:
            who = self.token.whose(now, checks_here=checks_here)
            return Allowed(private=_with(who, self.ticket, is_shaky=self.token.is_shaky(now)))
        private: frozenset[Who] = frozenset()
        if self.session is not None and self.site != "cross-site" and not self.is_api:
            who = self.session.whose(now, replica, hears=hears)
            private = _with(who, self.ticket, is_shaky=self.session.is_void)
        if self._is_published():
            return Allowed(frozenset({Who(site.library.alice.id)}), private)
        if self.ticket:
            private |= {Who(ticket=self.ticket)}
        return Allowed(frozenset({ANYBODY}), private)

    def _is_published(self) -> bool:
        address = self.address
        if address is None or (address.filesystem, address.user) != ("my", None):
            return False
        return address.path.startswith(PUBLISHED + "/")


def _with(who: Who | None, ticket: str, *, is_shaky: bool) -> frozenset[Who]:
    """Name somebody with their ticket and without; to Cloudreve a token that is not good any more is nobody's."""
    if who is None:
        return frozenset()
    names = {who, *([ANYBODY] if is_shaky else [])}
    return frozenset(each._replace(ticket=brought) for each in names for brought in ("", ticket))


def written(method: str, target: str, fields: Iterator[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: thumbs.example.com", *(": ".join(pair) for pair in fields)]
    return "\r\n".join([*lines, "", ""]).encode()
