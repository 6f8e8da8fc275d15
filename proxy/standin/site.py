"""The state of a stand-in site: what it keeps, what it counts, and the switches that tests turn."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from proxy.standin import signing
from proxy.standin.answer import Refused
from proxy.standin.calls import CallLog, Verb
from proxy.standin.faults import Fault
from proxy.standin.generator import ThumbnailGenerator
from proxy.standin.library import Account, Entity, Library
from proxy.standin.navigator import Navigator
from proxy.standin.signing import Token

SECRET = "stand-in-secret-key-0123456789abcdef"  # noqa: S105 - of a site that exists on loopback only


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """The one OAuth client that is registered."""

    id: str = "stand-in-client"
    secret: str = "stand-in-client-secret"  # noqa: S105 - of a site that exists on loopback only
    redirect_uri: str = "http://127.0.0.1:8080/session/callback"
    scopes: tuple[str, ...] = ("openid", "profile", "offline_access", "Files.Read")


class Site:
    """Switches are plain attributes; turning one counts from the next call on."""

    def __init__(self, *, size: tuple[int, int] = (400, 300), workers: int = 15, secret: str = SECRET) -> None:
        self.secret = secret
        """Signs tokens and image URLs (Cloudreve's `secret_key`); changing it voids both."""
        self.clock_offset_s = 0.0
        """How far the site's clock is ahead: `Date`, expiries and signature checks follow it."""
        self.url_life_s = 3600.0
        """Life of image URLs; 0 gives one good for the rest of the second, as in Cloudreve, -1 an expired one."""
        self.null_expires = False
        """`expires` is null."""
        self.empty_url = False
        """`url` is empty, with code 0."""
        self.obfuscated = False
        """URLs are scrambled, as in the Pro edition."""
        self.native_thumbs = False
        """Nothing is generated: URLs carry the original's entity id and `thumb=true`."""
        self.site_url = ""
        """Origin that image URLs start with; empty for the address that the stand-in really has."""
        self.has_events = True
        """Changes of files are told to those who listen."""
        self.foreign = False
        """Image URLs are a storage provider's, presigned, on another host."""
        self.foreign_origin = ""
        """Origin of the storage provider; empty for the address that it really has."""
        self.sign_elsewhere: Callable[[Entity], str] | None = None
        """Writes image URLs of a storage provider that is none of the stand-in's own."""
        self.foreign_etags = True
        """The storage provider sends ETags and answers If-None-Match."""
        self.foreign_weak = False
        """These ETags are weak."""
        self.foreign_chunked = False
        """The storage provider announces no length."""
        self.node: Literal["", "thumb", "content"] = ""
        """What image URLs name at another node of the site; empty where it has none. Thumbnails are made there."""
        self.cors_origins: tuple[str, ...] = ()
        """Origins whose scripts may read answers (`[CORS]` of Cloudreve's configuration); others get 403 then."""
        self.library = Library(self.now(), size)
        self.generator = ThumbnailGenerator(self.library, workers)
        self.navigator = Navigator(self.library)
        self.access_life_s = 3600.0
        self.refresh_life_s = 14 * 86400.0
        self.client = OAuthClient()
        self.banned: set[str] = set()
        """The ids of users whom the administrator has banned."""
        self.revoked: set[str] = set()
        """The sign-ins whose refresh tokens are void."""
        self.calls = CallLog()
        self.own_url = self.foreign_url = ""
        """Where the stand-in and its storage provider listen, once they do."""
        self._faults: dict[Verb, deque[Fault | None]] = {}
        self._lasting: dict[Verb, Fault] = {}

    def now(self) -> float:
        """Read the site's clock: unix time in seconds."""
        return time.time() + self.clock_offset_s

    @property
    def public_url(self) -> str:
        """Give the origin that the site believes to be its own."""
        return self.site_url or self.own_url

    def token(
        self,
        name: str = "alice",
        *,
        kind: str = "access",
        client: str = "",
        scopes: tuple[str, ...] = (),
        life_s: float = 3600,
    ) -> str:
        """Issue a token for an account; negative life for an expired one."""
        account = next(account for account in self.library.accounts if account.name == name)
        return self.issue(account, kind, life_s, client, scopes)

    def issue(
        self,
        account: Account,
        kind: str,
        life_s: float,
        client: str = "",
        scopes: tuple[str, ...] = (),
        root: str = "",
    ) -> str:
        """Sign a token that is valid from now, or that has been if its life is negative."""
        now = self.now()
        token = Token(kind, account.id, now + min(0, life_s), now + life_s, client, scopes, root)
        return signing.issue(token, self.secret)

    def revoke(self, refresh_token: str) -> None:
        """Void every refresh token of the sign-in that this one comes from; Refused for one that is none."""
        token = signing.verify(refresh_token, self.secret, self.now())
        if token is None:
            raise Refused(40020, "Failed to parse token")
        self.revoked.add(token.root)

    def bearer(self, request: web.Request) -> tuple[Account | None, Token | None]:
        """Find who asks: nobody for a bad token, which is not an error; Refused for a good one of the wrong kind."""
        text = request.headers.get("Authorization", "").removeprefix("Bearer ")
        token = signing.verify(text, self.secret, self.now())
        if token is None:
            return None, None
        if token.kind != "access":
            raise Refused(40020, "Invalid token type")
        account = self.library.account(token.subject)
        if account is None:
            raise Refused(404, "User not found")
        if account.id in self.banned:
            raise Refused(50001, "failed to get login user")
        return account, token

    def fail(self, verb: Verb, fault: Fault, *, times: int | None = None, after: int = 0) -> None:
        """Spare the next `after` calls of a verb, then spoil `times`, or with None all until `mend`."""
        planned = self._faults.setdefault(verb, deque())
        planned.extend([None] * after)
        if times is None:
            self._lasting[verb] = fault
        else:
            planned.extend([fault] * times)

    def mend(self) -> None:
        """Spoil nothing any more."""
        self._faults.clear()
        self._lasting.clear()

    def next_fault(self, verb: Verb) -> Fault | None:
        """Return what is to spoil the call that has just arrived, if anything is."""
        planned = self._faults.get(verb)
        return planned.popleft() if planned else self._lasting.get(verb)
