"""Whose an access token is, asked of Cloudreve: once for each token, for all clients in turn, with a bound for each."""

from __future__ import annotations

from cachetools import LRUCache, TTLCache

from proxy.coalesce.fair_queue import FairQueue
from proxy.coalesce.singleflight import Singleflight
from proxy.domain.client import Client
from proxy.domain.errors import Busy, Refused
from proxy.domain.keys import token_digest
from proxy.domain.refusal import Refusal
from proxy.identity.claims import is_acceptable
from proxy.observe.metrics import Metrics
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve

REFUSED_S = 2.0
"""How long a refused token is remembered: a page of images asks once."""
REFUSED_TOKENS = 50
"""After so many refused tokens within `REFUSED_S` Cloudreve is asked about none of that client's."""
REFUSED_CLIENTS = 1000
"""So many clients' refused tokens are remembered."""


class Whoami:
    """Asks Cloudreve whose a token is. A token that cannot be one of Cloudreve's is refused without a call."""

    def __init__(
        self,
        cloudreve: Cloudreve,
        clock: Clock,
        metrics: Metrics,
        singleflight: Singleflight[str | None],
        limit: FairQueue,
    ) -> None:
        self._cloudreve = cloudreve
        self._clock = clock
        self._metrics = metrics
        self._singleflight = singleflight
        self._limit = limit
        self._refused: LRUCache[Client, TTLCache[str, Refusal | None]] = LRUCache(REFUSED_CLIENTS)

    async def subject(self, token: str, client: Client) -> str | None:
        """Give the user's id, or None when Cloudreve does not accept the token.

        Raises Refused for the token of a banned user, Busy beyond the bounds.
        """
        if not is_acceptable(token, self._clock.now() if self._clock.is_set else 0.0):
            return None
        digest = token_digest(token)
        while digest not in self._refused_of(client):
            self._check(client)
            outcome, collapsed = self._singleflight.join(digest, lambda: self._ask(token, digest, client))
            if collapsed:
                self._metrics.collapsed("identity")
                self._limit.hurry(client, digest)
            try:
                subject = await outcome
            except Busy:
                if not collapsed:  # else it was another client that had too many
                    raise
            except Refused as error:
                self._refused_of(client)[digest] = error.refusal
            else:
                if subject is None:
                    self._refused_of(client)[digest] = None
                return subject
        refusal = self._refused_of(client).get(digest)
        if refusal is not None:
            raise Refused(refusal)
        return None

    async def _ask(self, token: str, digest: str, client: Client) -> str | None:
        with self._limit.admitted(client, digest):
            async with self._limit.slot(digest):
                self._check(client)  # again: others of its tokens were refused meanwhile
                return await self._cloudreve.whoami(token)

    def _check(self, client: Client) -> None:
        if len(self._refused_of(client)) >= REFUSED_TOKENS:
            raise Busy("Too many access tokens of yours were refused just now.")

    def _refused_of(self, client: Client) -> TTLCache[str, Refusal | None]:
        refused: TTLCache[str, Refusal | None] | None = self._refused.get(client)
        if refused is None:
            refused = self._refused[client] = TTLCache(REFUSED_TOKENS, REFUSED_S, timer=self._clock.now)
        refused.expire()
        return refused
