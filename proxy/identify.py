"""The first step: who asks."""

from __future__ import annotations

from typing import NamedTuple

from cachetools import TLRUCache

from proxy.errors import InvalidToken
from proxy.flight import Flights
from proxy.metrics import Metrics
from proxy.model import ANONYMOUS, Credentials, Identity, Visitor
from proxy.policy.identity import holding, identity_of, read_claims, verify
from proxy.policy.keys import token_digest
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
    ) -> None:
        self._cloudreve = cloudreve
        self._clock = clock
        self._metrics = metrics
        self._flights = flights
        self._ttl_s = settings.ttl_s
        self._secret_key = secret_key
        self._known: TLRUCache[str, _Known] = TLRUCache(KNOWN_TOKENS, ttu=_until, timer=clock.now)

    async def identify(self, credentials: Credentials) -> Visitor:
        """Name the visitor; raise InvalidToken for a token that Cloudreve would silently take for anonymous."""
        identity = ANONYMOUS if credentials.bearer is None else await self._user(credentials.bearer)
        return Visitor(holding(identity, credentials.ticket), credentials)

    async def _user(self, token: str) -> Identity:
        digest = token_digest(token)
        known = self._known.get(digest) or await self._verified(token, digest)
        if known.identity is None:
            raise InvalidToken("Cloudreve does not accept this access token: it is wrong or has expired.")
        return known.identity

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
