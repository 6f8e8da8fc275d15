"""Finds out in the background, fairly, what visitors ask about pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from proxy.coalesce.fair_queue import FairQueue
from proxy.coalesce.singleflight import Singleflight
from proxy.domain.errors import BadRequest, InvalidToken, ProxyError
from proxy.domain.grant import Grant
from proxy.domain.keys import request_key
from proxy.domain.source import Source
from proxy.domain.thumb_request import ThumbRequest
from proxy.gateway import Gateway
from proxy.grants.validity import Decision
from proxy.http.info_answers import Known
from proxy.pictures.answer import InfoAnswer


class InfoSearch:
    """Waits `wait_s` at most; what is not known by then is found out all the same.

    Each URI takes a place of the fair queue until then, so that no client has more than a quarter of them under way.
    Work towards Cloudreve, storage and encoders waits its turn in their own queues beside the pictures'.

    What was found out goes to all who ask for it by then. Interleaving: it is found out for long, the visitor signs out
    or changes the file meanwhile, and asks again. Whatever it rests on is looked at again before it is told.
    """

    def __init__(
        self,
        gateway: Gateway,
        fair_queue: FairQueue,
        singleflight: Singleflight[InfoAnswer],
        still_counts: Callable[[Decision[Grant]], bool],
        wait_s: float,
    ) -> None:
        self._gateway = gateway
        self._fair_queue = fair_queue
        self._singleflight = singleflight
        self._still_counts = still_counts
        self._wait_s = wait_s

    async def find(self, requests: Sequence[ThumbRequest | BadRequest]) -> list[Known]:
        """Tell what is known of each, in their order; raise InvalidToken where the token is none."""
        begun = [self._begin(each) if isinstance(each, ThumbRequest) else each for each in requests]
        waiting = [each for each in begun if isinstance(each, asyncio.Future)]
        if waiting:
            await asyncio.wait(waiting, timeout=self._wait_s)
        return [self._known(each) if isinstance(each, asyncio.Future) else each for each in begun]

    def _begin(self, request: ThumbRequest) -> asyncio.Future[InfoAnswer]:
        key = request_key(request)
        return self._singleflight.join(key, lambda: self._load(key, request))[0]

    async def _load(self, key: str, request: ThumbRequest) -> InfoAnswer:
        with self._fair_queue.admitted(request.client, key):
            return await self._gateway.info(request)

    def _known(self, outcome: asyncio.Future[InfoAnswer]) -> Known:
        if not outcome.done() or outcome.cancelled():
            return None
        try:
            answer = outcome.result()
        except InvalidToken:
            raise
        except ProxyError as error:
            return error
        is_bridge = answer.found.source is Source.STALE  # which has ended, and is told all the same
        decision = replace(answer.found.decision, session=answer.session)
        return answer if is_bridge or self._still_counts(decision) else None
