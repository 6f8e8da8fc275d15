"""The first step: the identity of a request."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, Protocol

from proxy.cache.fair_cache import FairCache
from proxy.domain.client import Client
from proxy.domain.credentials import Credentials
from proxy.domain.errors import InvalidToken, SessionUnknown
from proxy.domain.file_uri import FileUri
from proxy.domain.identity import ANONYMOUS, Identity
from proxy.domain.keys import token_digest
from proxy.domain.session import SessionCookie, SessionRef
from proxy.domain.visitor import Visitor
from proxy.identity.accounts import Accounts
from proxy.identity.claims import holding, identity_of, read_claims, verify
from proxy.identity.whoami import Whoami
from proxy.settings import IdentitySettings
from proxy.upstream.clock import Clock

KNOWN_TOKENS = 10_000
"""How many tokens are remembered, users sharing them fairly; an entry is a digest and a user id."""
BRIEF_S = 2.0
"""How long a token is remembered that does not say when it ends, and a visitor whose cookie is not good."""


class SignedIn(NamedTuple):
    """The session behind a cookie."""

    access: str
    """Cloudreve's access token; not verified yet."""
    session: SessionRef
    sure_until: float
    """Unix time in seconds on Cloudreve's clock at which it has to be looked at again."""
    renewed: SessionCookie | None
    """The cookie that is to replace the visitor's, if any."""


class CookieSessions(Protocol):
    """Opens the cookies of sessions: `sessions.lifecycle`."""

    async def signed_in(self, cookie: str) -> SignedIn | None:
        """Give what a cookie stands for; None where it is not good. Raises SessionUnknown."""

    def user_of(self, cookie: str) -> str:
        """Name the user whose cookie it is; empty for no cookie of ours."""


class _Known(NamedTuple):
    identity: Identity
    until: float


def _until(_digest: str, known: _Known, _now: float) -> float:
    return known.until


class Identifier:
    """Verifies tokens and remembers, by digest, whose they are. A token is never believed unverified."""

    def __init__(
        self,
        whoami: Whoami,
        clock: Clock,
        settings: IdentitySettings,
        secret_key: bytes | None,
        sessions: CookieSessions,
        accounts: Accounts,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._whoami = whoami
        self._clock = clock
        self._ttl_s = settings.ttl_s
        self._secret_key = secret_key
        self._known: FairCache[str, _Known] = FairCache(KNOWN_TOKENS, ttu=_until, timer=clock.now)

    async def identify(self, credentials: Credentials, uri: FileUri | None = None, client: Client = "") -> Visitor:
        """Name the visitor: by token, by cookie, as the account that has published `uri`, or as nobody.

        `client` is the client at the visitor's address; how often Cloudreve is asked is bounded for each of them.
        Raises InvalidToken for a token that Cloudreve would silently take for anonymous, Refused for one of a banned
        user. A cookie that is not good is as none: the browser sends it, not the visitor.
        """
        if credentials.bearer is not None:
            identity, until = await self._user(credentials.bearer, client)
            return Visitor(holding(identity, credentials.fields), credentials, until)
        sure_until = math.inf
        if credentials.cookie is not None:
            visitor = await self._by_cookie(credentials, credentials.cookie, uri, client)
            if visitor is not None:
                return visitor
            sure_until = self._clock.now() + BRIEF_S
            credentials = replace(credentials, cookie=None)
        nobody = await self._nobody(credentials, uri)
        return nobody if nobody.sure_until == sure_until else replace(nobody, sure_until=sure_until)

    def known_user(self, credentials: Credentials) -> str:
        """Name the user whose credentials these are, as far as that is known without asking; else empty."""
        if credentials.bearer is not None:
            known = self._known.get(token_digest(credentials.bearer))
            return known.identity.subject if known is not None else ""
        return self._sessions.user_of(credentials.cookie) if credentials.cookie is not None else ""

    async def _by_cookie(
        self, credentials: Credentials, cookie: str, uri: FileUri | None, client: Client
    ) -> Visitor | None:
        """Name whose session it is. While that cannot be found out, everybody may still see what is nobody's own."""
        try:
            found = await self._sessions.signed_in(cookie)
        except SessionUnknown:
            if uri is None or not uri.is_absolute:
                raise
            return None
        if found is None:
            return None
        with suppress(InvalidToken):
            identity, until = await self._user(found.access, client)
            known = replace(credentials, bearer=found.access)
            sure_until = min(until, found.sure_until)
            visitor = holding(identity, credentials.fields)
            return Visitor(visitor, known, sure_until, found.session, found.renewed)
        return None

    async def _nobody(self, credentials: Credentials, uri: FileUri | None) -> Visitor:
        """Name who has no name: the account that lends its eyes for this URI, or anonymous."""
        account = await self._accounts.visitor_for(uri) if uri is not None else None
        if account is not None:
            return account
        return Visitor(holding(ANONYMOUS, credentials.fields), credentials, math.inf)

    async def _user(self, token: str, client: Client) -> tuple[Identity, float]:
        digest = token_digest(token)
        known = self._known.get(digest)
        if known is None:
            subject = await self._subject(token, client)
            if subject is None:
                raise InvalidToken("Cloudreve does not accept this access token: it is wrong or has expired.")
            known = self._knowledge(token, subject)
            self._known.put(digest, known, subject)
        return known.identity, known.until

    async def _subject(self, token: str, client: Client) -> str | None:
        if self._secret_key is None:
            return await self._whoami.subject(token, client)
        claims = verify(token, self._secret_key, self._clock.now())
        return claims.subject if claims else None

    def _knowledge(self, token: str, subject: str) -> _Known:
        now, claims = self._clock.now(), read_claims(token)  # verified by now, so that its end can be believed
        until = min(now + self._ttl_s, claims.expires) if claims else now + BRIEF_S
        return _Known(identity_of(token, subject), until)
