"""The fast path: a request that means the same as one just answered is answered without aiohttp.

Everything in a request that its answer depends on is in its `Key`, so that equal keys have equal answers, whichever
browsers ask. What can change meanwhile is looked at on every hit: neither the grant nor the belief in the token may
have ended, no renewal may be due, no other grant may have come, and the bytes must be those that were shown, from the
memory tier or, a little later, from Redis. As long as the memory tier's version stays the same it need not be asked; it
is each second, which also keeps what is hot from being driven out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import lru_cache, partial
from math import inf
from weakref import ref

from aiohttp import web

from proxy.cache.fair_cache import FairEviction
from proxy.cache.tiers import Tiers
from proxy.domain.client import Client
from proxy.domain.grant import Grant
from proxy.domain.picture import Picture
from proxy.domain.source import Source
from proxy.domain.tags import Tag
from proxy.fastpath.date_field import DateField
from proxy.fastpath.disk_hits import DiskHits
from proxy.fastpath.entry import (
    KINDS,
    NO_PICTURE,
    TIERS,
    FinishedAnswer,
    Given,
    HeadAndBody,
    Provenances,
    Recalled,
    caching,
    fixed,
    found_in,
    given_by,
    provenance,
    route_of,
    tail_of,
    valid_until,
)
from proxy.fastpath.key import Key, Keys, PendingRequest
from proxy.fastpath.meaning import Meaning
from proxy.fastpath.recalls import Recalls
from proxy.fastpath.redis_hits import RedisHits
from proxy.fastpath.standing import Standing
from proxy.grants.invalidation import Invalidations
from proxy.grants.validity import Decision, is_valid
from proxy.observe.metrics import Metrics
from proxy.observe.prerendered import prerendered_line
from proxy.settings import Settings
from proxy.upstream.clock import Clock


class FastPath:
    """Knows finished answers by the keys of their requests."""

    def __init__(
        self,
        tiers: Tiers,
        trusts: Callable[[str], bool],
        invalidations: Invalidations,
        clock: Clock,
        metrics: Metrics,
        settings: Settings,
        keys: Keys,
        heed: Callable[[Collection[Tag]], None] = lambda _: None,
    ) -> None:
        self.key = keys.key
        self._direct, self._proxied = keys.known
        self._longest_bytes = keys.max_bytes
        self.trusts = trusts
        self._invalidations = invalidations
        self._heed = heed
        self._epoch = 0
        self._tiers, self._memory = tiers, tiers.memory
        self._clock = clock
        self._now, self._ours = clock.now, clock.ours
        self._max_bytes = settings.memory.max_answers_bytes
        self._ttl_s, self._renew_s = settings.pictures.ttl_s, settings.grants.renew_s
        self._is_logged = settings.log.level in ("debug", "info") and settings.log.requests == "all"
        self._line = lru_cache(KINDS)(partial(prerendered_line, "proxy.http", "request"))
        self._way = lru_cache(KINDS)(partial(provenance, metrics))
        self._today = DateField()
        self._finished: dict[tuple[bytes, Meaning | None], FinishedAnswer] = {}
        self._recalls = Recalls(tiers.memory)
        self._eviction: FairEviction[Key] = FairEviction(clock.timer)
        standing = Standing(self._finished, tiers, invalidations, self._drop)
        self._stands = standing.stands
        self._disk_hits = DiskHits(standing.still_stands, clock)
        self.redis_hits = RedisHits(standing.still_stands, tiers, self._recalls, clock, self._ttl_s)
        metrics.watch("finished_answers", "Answers that the fast path knows", lambda: len(self._finished))

    @property
    def size_bytes(self) -> int:
        """Tell what is kept takes, as estimated, without the pictures."""
        return int(self._eviction.total)

    def asked(self, key: Key) -> PendingRequest:
        """Take note of a request that has just come."""
        return PendingRequest(key, self._epoch, self._tiers.deletions)

    def find(self, data: bytes, is_trusted: bool) -> FinishedAnswer | None:
        """Give what is known of a request whose lines were read before; `known` finds the others."""
        line, _, lines = data.partition(b"\r\n")
        meanings = (self._proxied if is_trusted else self._direct).young.get(lines)
        if meanings is not None and len(data) <= self._longest_bytes:
            for meaning in meanings:
                if (known := self._finished.get((line, meaning))) is not None:  # made much faster than a Key
                    return known
        return None

    def known(self, key: Key) -> FinishedAnswer | None:
        """Give what is known of a request."""
        return self._finished.get(key)

    def answer(self, known: FinishedAnswer) -> HeadAndBody | None:
        """Give the answer to a request, or None when it cannot be given at once."""
        picture, now = known.picture(), self._ours()
        if picture is None:
            return self._disk_hits.answer(known, now) if known.stored is not None else None
        is_sure = known.sure_from <= now < known.sure_until and known.version == self._memory.version
        if not is_sure and not self._renew(known):
            return None
        body = picture.body if known.has_body else b""
        known.tally.count += 1
        known.tally.sent_bytes += len(body)
        if known.log_line is not None:
            known.log_line.at_once(now)
        return known.head, body

    async def recall(self, known: FinishedAnswer) -> Recalled | None:
        """Bring the picture of such a request, or None when it has to go the long way."""
        started, key = time.perf_counter(), known.picture_key
        if known.shown is None:  # there is none to bring: the connection was not ready yet
            is_good = self._stands(known, self._now())
            return Recalled(known, NO_PICTURE, known.provenances.near, 0.0) if is_good else None
        is_again = key in self._recalls
        ttl_s = self._ttl_s if self._recalls.come_again(key) else 0.0
        found = await self._tiers.get(key, (Picture,), lambda _: ttl_s)
        if not self._stands(known, self._now()):
            return None
        if found is None or not known.show(found[0]):
            self._drop(known.key)
            return None
        known.stored = self._tiers.stored(key) if is_again and found[1] is Source.DISK else None
        known.shared = self._tiers.shared(key, found[0]) if found[1] is Source.REDIS else None
        return Recalled(known, found[0], known.provenance(found[1]), time.perf_counter() - started)

    def give(self, recalled: Recalled) -> HeadAndBody:
        """Make an answer of what was brought, and count it."""
        known, picture, source, seconds = recalled
        body = picture.body if known.has_body else b""
        source.tally.add(seconds, len(body))
        if known.log_line is not None:
            known.log_line.after(seconds * 1000)
        return known.head_for(self._now(), self._today(self._ours()), source), body

    def forget(self) -> None:
        """Forget all, that of requests under way too: visitors are to go elsewhere."""
        self._epoch += 1
        for known in list(self._finished.values()):
            self._drop(known.key)

    def drop(self, tags: Collection[Tag]) -> list[str]:
        """Forget the answers that rest on a tag; give the key of each one's picture, "" where another shows it too."""
        wanted = frozenset(tags)
        ended = [known for known in self._finished.values() if not wanted.isdisjoint(known.decision.tags)]
        for known in ended:
            self._drop(known.key)
        others = {known.decision.grant.picture for known in self._finished.values()}
        return ["" if known.decision.grant.picture in others else known.picture_key for known in ended]

    def offer(self, asked: PendingRequest, request: web.Request, response: web.StreamResponse) -> None:
        """Remember an answer that has been given, if the next equal request may have it too."""
        given = given_by(request, response, asked.key)
        if given is None or asked.epoch != self._epoch:
            return
        answer = given.answer
        until = valid_until(answer, self._renew_s)
        decision = replace(answer.found.decision, valid_until=until, session=answer.session)
        if is_valid(decision, self._now(), self._invalidations):
            self._keep(self._finished_by(asked, given, decision), answer.client)

    def _renew(self, known: FinishedAnswer) -> bool:
        """Ask the memory tier for all that this rests on, which keeps it from ageing, and write the head anew."""
        version, now, ours = self._memory.version, self._now(), self._ours()
        picture = self._memory.get_nowait(known.picture_key) if known.shown is not None else NO_PICTURE
        if not self._stands(known, now) or not isinstance(picture, Picture):
            return False
        if known.shown is not None and not known.show(picture):
            self._drop(known.key)
            return False
        self._eviction.touch(known.key)
        self._heed(known.decision.tags)
        known.version = version
        known.sure_from, known.sure_until = ours, min(int(ours) + 1.0, ours + known.decision.valid_until - now)
        known.head = known.head_for(now, self._today(ours), known.provenances.near)
        return True

    def _finished_by(self, asked: PendingRequest, given: Given, decision: Decision[Grant]) -> FinishedAnswer:
        answer, request, response, outcome = given
        shown, said = answer.shown, caching(response, answer.handling)
        provenances = Provenances(*(self._way(outcome, said, found_in(x, answer.handling)) for x in TIERS))
        told = {"method": request.method, "route": route_of(request), "status": response.status, "outcome": outcome}
        return FinishedAnswer(
            key=asked.key,
            decision=decision,
            grant_key=answer.found.key,
            shown=shown.head if shown is not None else None,
            picture_key=answer.picture_key,
            deletions=asked.deletions,
            fixed=fixed(response),
            provenances=provenances,
            tally=provenances.near.tally,
            log_line=self._line(**told) if self._is_logged else None,
            tail=tail_of(answer, request, response),
            picture=ref(shown.body if shown is not None and isinstance(shown.body, Picture) else NO_PICTURE),
            has_body=request.method != "HEAD",
        )

    def _keep(self, known: FinishedAnswer, client: Client) -> None:
        self._drop(known.key)
        self._finished[known.key] = known
        self._eviction.add(known.key, client, known.size_bytes)
        while self.size_bytes > self._max_bytes:
            self._drop(self._eviction.victim(client))

    def _drop(self, key: Key) -> None:
        if (known := self._finished.pop(key, None)) is not None:
            known.sure_until = known.stands_until = -inf  # connections may remember it
        self._eviction.discard(key)
