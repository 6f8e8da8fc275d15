"""The first step: who asks."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from cachetools import TLRUCache

from proxy.coalesce.singleflight import Flights
from proxy.domain.errors import InvalidToken, SessionUnknown
from proxy.domain.keys import token_digest
from proxy.domain.model import ANONYMOUS, Credentials, FileUri, Identity, Visitor
from proxy.identity.accounts import Accounts
from proxy.identity.claims import holding, identity_of, read_claims, verify
from proxy.observe.metrics import Metrics
from proxy.sessions.lifecycle import Sessions
from proxy.settings import IdentitySettings
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve

KNOWN_TOKENS = 10_000
"""How many tokens are remembered; an entry is a digest and a user id."""
BRIEF_S = 2.0
"""How long a token is remembered that was not accepted, or does not say when it ends: a page of images asks once."""


class _Known(NamedTuple):
    identity: Identity | None
    until: float


def _until(_digest: str, known: _Known, _now: float) -> float:
    return known.until


class Identifier:
    """Verifies tokens and remembers, by digest, whose they are. A token is never believed unverified."""

    def __init__(
        self,
        cloudreve: Cloudreve,
        clock: Clock,
        metrics: Metrics,
        flights: Flights[str | None],
        settings: IdentitySettings,
        secret_key: bytes | None,
        sessions: Sessions,
        accounts: Accounts,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._cloudreve = cloudreve
        self._clock = clock
        self._metrics = metrics
        self._flights = flights
        self._ttl_s = settings.ttl_s
        self._secret_key = secret_key
        self._known: TLRUCache[str, _Known] = TLRUCache(KNOWN_TOKENS, ttu=_until, timer=clock.now)

    async def identify(self, credentials: Credentials, uri: FileUri | None = None) -> Visitor:
        """Name the visitor: by token, by cookie, as the account that has published `uri`, or as nobody.

        Raises InvalidToken for a token that Cloudreve would silently take for anonymous. A cookie that is not good is
        as none: the browser sends it, not the visitor.
        """
        if credentials.bearer is not None:
            identity, until = await self._user(credentials.bearer)
            return Visitor(holding(identity, credentials.ticket), credentials, until)
        sure_until = math.inf
        if credentials.cookie is not None:
            visitor = await self._by_cookie(credentials, credentials.cookie, uri)
            if visitor is not None:
                return visitor
            sure_until = self._clock.now() + BRIEF_S
            credentials = replace(credentials, cookie=None)
        nobody = await self._nobody(credentials, uri)
        return nobody if nobody.sure_until == sure_until else replace(nobody, sure_until=sure_until)

    async def _by_cookie(self, credentials: Credentials, cookie: str, uri: FileUri | None) -> Visitor | None:
        """Name whose session it is. While that cannot be found out, everybody may still see what is nobody's own."""
        try:
            entered = await self._sessions.enter(cookie)
        except SessionUnknown:
            if uri is None or not uri.is_absolute:
                raise
            return None
        if entered is None:
            return None
        with suppress(InvalidToken):
            identity, until = await self._user(entered.session.access)
            known = replace(credentials, bearer=entered.session.access)
            sure_until = min(until, entered.sure_until)
            visitor = holding(identity, credentials.ticket)
            return Visitor(visitor, known, sure_until, entered.session.ref, entered.renewed)
        return None

    async def _nobody(self, credentials: Credentials, uri: FileUri | None) -> Visitor:
        """Name who has no name: the account that lends its eyes for this URI, or anonymous."""
        account = await self._accounts.visitor_for(uri) if uri is not None else None
        if account is not None:
            return account
        return Visitor(holding(ANONYMOUS, credentials.ticket), credentials, math.inf)

    async def _user(self, token: str) -> tuple[Identity, float]:
        digest = token_digest(token)
        known = self._known.get(digest) or await self._verified(token, digest)
        if known.identity is None:
            raise InvalidToken("Cloudreve does not accept this access token: it is wrong or has expired.")
        return known.identity, known.until

    async def _verified(self, token: str, digest: str) -> _Known:
        if self._secret_key is not None:
            claims = verify(token, self._secret_key, self._clock.now())
            subject = claims.subject if claims else None
        else:
            outcome, collapsed = self._flights.join(digest, lambda: self._cloudreve.whoami(token))
            if collapsed:
                self._metrics.collapsed("identity")
            subject = await outcome
        known = self._knowledge(token, subject)
        self._known[digest] = known
        return known

    def _knowledge(self, token: str, subject: str | None) -> _Known:
        now = self._clock.now()
        claims = read_claims(token) if subject else None  # verified by now, so that its end can be believed
        if subject is None or claims is None:
            return _Known(identity_of(token, subject) if subject else None, now + BRIEF_S)
        return _Known(identity_of(token, subject), min(now + self._ttl_s, claims.expires))
