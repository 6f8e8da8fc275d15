"""The hit path: a request that reads byte for byte like one just answered is answered without being parsed.

Everything that an answer depends on is in the bytes of the request and in whether its sender is a trusted proxy, so
that equal bytes may have equal answers. What can change meanwhile is looked at on every hit: neither the grant nor the
belief in the token may have ended, no renewal may be due, and the memory tier must still hold the very grant and
picture that were shown. For the last its version is enough as long as it stays the same; each second, and whenever it
has changed, the tier is asked, which also keeps what is hot from being driven out.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from aiohttp import web

from proxy import log
from proxy.answer import Answer
from proxy.cache.memory import MemoryTier
from proxy.download import Download
from proxy.metrics import Metrics
from proxy.model import Source
from proxy.policy.freshness import renew_at
from proxy.upstream.clock import Clock
from proxy.web.finished import Finished, finished
from proxy.web.front import Front

MAX_RAW_BYTES = 4096
"""Requests that are longer go the long way."""
MEMORY_SHARE = 32
"""Beside the pictures themselves finished answers take this fraction of what the memory tier may."""

EVIDENCE = web.RequestKey("evidence", Answer)
"""The answer that a response was made from, where the response is nothing but that."""


class Asked(NamedTuple):
    """The one request that a connection is answering."""

    raw: bytes
    is_trusted: bool
    """Whether it came from a trusted proxy."""
    epoch: int
    """Of the hit path, when it came."""


class HitPath:
    """Knows finished answers by the bytes of their requests."""

    def __init__(
        self,
        memory: MemoryTier,
        front: Front,
        clock: Clock,
        metrics: Metrics,
        *,
        max_bytes: int,
        renew_s: float,
        is_narrated: bool,
    ) -> None:
        self.trusts = front.trusts
        self.epoch = 0
        self._memory = memory
        self._now = clock.now
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._renew_s = renew_s
        self._is_narrated = is_narrated
        self._finished: dict[bytes, Finished] = {}
        self.size_bytes = 0
        """What is kept takes, as estimated, without the pictures."""

    def answer(self, raw: bytes, *, is_trusted: bool) -> tuple[bytes, bytes] | None:
        """Give head and body for the bytes of a request, or None when it has to go the long way."""
        known = self._finished.get(raw)
        if known is None or known.is_trusted is not is_trusted:
            return None
        now = self._now()
        is_sure = known.sure_from <= now < known.sure_until and known.version == self._memory.version
        if not is_sure and not self._stands(known, now):
            self._drop(raw)
            return None
        body = b""
        if known.picture is not None:
            picture = known.picture()
            if picture is None:  # its time in the tier ended within this second
                self._drop(raw)
                return None
            body = picture.body
        known.tally.count += 1
        known.tally.sent_bytes += len(body)
        if known.narrate is not None:
            known.narrate()
        return known.head, body

    def forget(self) -> None:
        """Forget all, that of requests under way too: somebody has signed out, or visitors are to go elsewhere."""
        self.epoch += 1
        self._finished.clear()
        self.size_bytes = 0

    async def offer(self, request: web.Request, response: web.StreamResponse) -> None:
        """Remember an answer that is about to leave, if the next equal request may have it too."""
        answer, asked = request.get(EVIDENCE), getattr(request.protocol, "asked", None)
        if answer is None or asked is None or asked.epoch != self.epoch or not _is_at_hand(answer):
            return
        if not _is_repeatable(request, response, asked.raw):
            return
        until = min(answer.found.sure_until, renew_at(answer.found.grant, self._renew_s))
        if self._now() < until:
            self._keep(asked, answer, request, response, until)

    def _stands(self, known: Finished, now: float) -> bool:
        """Tell whether the memory tier still holds the very objects that were shown; asking keeps them from ageing."""
        if now >= known.until:
            return False
        known.version = self._memory.version
        if known.grant_key and self._memory.lookup(known.grant_key) is not known.grant:
            return False
        if known.picture is not None:
            picture = known.picture()
            if picture is None or self._memory.lookup(known.picture_key) is not picture:
                return False
        if not known.sure_from <= now < known.sure_until:
            known.write_head(now)
        return True

    def _keep(
        self, asked: Asked, answer: Answer, request: web.Request, response: web.StreamResponse, until: float
    ) -> None:
        outcome = "hit" if answer.shown is not None else "not_modified"
        route = str(getattr(request.match_info.route.resource, "canonical", ""))
        told = partial(log.repeated, "proxy.web", "request", method="GET", route=route, status=response.status)
        known = finished(
            answer,
            response,
            until,
            is_trusted=asked.is_trusted,
            tally=self._metrics.tally(outcome),
            narrate=told(outcome=outcome) if self._is_narrated else None,
        )
        self._drop(asked.raw)
        self._finished[asked.raw] = known
        self.size_bytes += known.size_bytes(asked.raw)
        while self.size_bytes > self._max_bytes:
            self._drop(next(iter(self._finished)))

    def _drop(self, raw: bytes) -> None:
        known = self._finished.pop(raw, None)
        if known is not None:
            self.size_bytes -= known.size_bytes(raw)


def _is_repeatable(request: web.Request, response: web.StreamResponse, raw: bytes) -> bool:
    """Tell whether nothing about this answer was for this once only."""
    return (
        request.method == "GET"
        and request.version == (1, 1)
        and request.keep_alive
        and response.keep_alive is not False
        and "Expect" not in request.headers
        and raw.split(b" ", 2)[1] == request.raw_path.encode("utf-8", "surrogateescape")
        and response.status in (200, 304)
        and "Set-Cookie" not in response.headers
        and not response.cookies
    )


def _is_at_hand(answer: Answer) -> bool:
    """Tell whether everything came from memory, or with the request."""
    grant, picture = answer.handling.grant, answer.handling.picture
    is_complete = answer.shown is None or not isinstance(answer.shown.body, Download)
    return is_complete and grant in (Source.MEMORY, Source.SEALED) and picture in (Source.MEMORY, None)
