"""How many subscriptions are tried, where many folders are worth one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest

from proxy.cache.shared_values import SharedValues
from proxy.coalesce.local_singleflight import LocalSingleflight
from proxy.domain.errors import ProxyError, Refused, TooSlow, Unreachable
from proxy.domain.file_uri import FileUri
from proxy.domain.refusal import Refusal, RefusalKind
from proxy.live_events.client_ids import ClientIds
from proxy.live_events.interest import MY
from proxy.live_events.subscription import SubscriptionContext
from proxy.live_events.watched_folder import WatchedFolder
from proxy.live_events.watcher import MAX_BEGINNING, Wanted, Watcher

USERS, ALLOWED = 1000, 64


class Streams:
    """Streams that never begin."""

    def __init__(self, error: ProxyError) -> None:
        self.calls = 0
        self._error = error

    @asynccontextmanager
    async def listen(self, _folder: FileUri, _bearer: str, _client_id: str) -> AsyncIterator[None]:
        """Fail."""
        self.calls += 1
        raise self._error
        yield


async def bearer() -> str:
    """Give any token."""
    return "token"


async def tried(error: ProxyError) -> int:
    """Count the calls for many users while each ends with an error."""
    streams, put_off = Streams(error), set[str]()
    client_ids = ClientIds(SharedValues(None, time.monotonic), 3600.0)
    context = cast(
        "SubscriptionContext", SimpleNamespace(streams=streams, sharing=LocalSingleflight(), client_ids=client_ids)
    )

    def wanted_for(user: str) -> Wanted:
        return Wanted(WatchedFolder(MY, user), bearer, put_off=lambda _: put_off.add(user))

    wanted = [wanted_for(str(number)) for number in range(USERS)]

    def hottest(most: int) -> list[Wanted]:
        return [each for each in wanted if each.folder.subject not in put_off][:most]

    watcher = Watcher(hottest, context, ALLOWED)
    for _ in range(USERS // MAX_BEGINNING):
        watcher.step()
        for _ in range(20):
            await asyncio.sleep(0)
    await watcher.aclose()
    return streams.calls


@pytest.mark.parametrize(
    "error",
    [
        Refused(Refusal(RefusalKind.NOT_FOUND, 40019)),
        Refused(Refusal(RefusalKind.NOT_FOUND, 0)),
        TooSlow("a proxy before Cloudreve waits for the end"),
    ],
    ids=["switched off", "unknown", "held back"],
)
async def test_a_thousand_users_of_a_cloudreve_without_events_cost_it_a_few_calls(error: ProxyError) -> None:
    """What one has met in vain the others do not try."""
    assert await tried(error) == MAX_BEGINNING


async def test_one_user_after_the_other_is_given_up_where_cloudreve_refuses_them() -> None:
    """Each once: their tokens may not listen, others' may."""
    assert await tried(Refused(Refusal(RefusalKind.FORBIDDEN, 403))) == USERS


async def test_what_fails_for_once_is_tried_again_later_and_in_nobodys_way() -> None:
    """As in an outage: as many as are allowed, each once until its pause is over."""
    assert await tried(Unreachable("no connection")) == ALLOWED
