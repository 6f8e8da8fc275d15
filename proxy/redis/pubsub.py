"""Messages over Redis (pub/sub): a replica that has finished a piece of work tells all others how it ended."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from redis.asyncio.client import PubSub

from proxy.redis.connect import RedisConnections
from proxy.redis.failures import redis_failure_of

POLL_S = 0.25
"""How long a waiting process relies on messages alone, before it looks for itself."""
DEAF_POLL_S = 0.04
"""The same while there is no subscription."""
SILENCE_S = 1.0
"""After so long without a word the connection is pinged; after as long again it is given up."""
RETRY_S = (0.1, 5.0)
"""How long to wait before subscribing again: at first, and at most."""

_log = structlog.get_logger("proxy.redis.pubsub")


class PubSubChannel:
    """One channel per site; a message is a key, a blank and bytes that its readers understand."""

    def __init__(self, connections: RedisConnections, namespace: str) -> None:
        self._connections = connections
        self.channel = f"{namespace}:news"
        self._readers: defaultdict[str, set[asyncio.Future[bytes]]] = defaultdict(set)
        self.is_heard = False

    @property
    def poll_s(self) -> float:
        """How often a waiting process is to look for itself."""
        return POLL_S if self.is_heard else DEAF_POLL_S

    @contextmanager
    def reader(self, key: str) -> Iterator[asyncio.Future[bytes]]:
        """Read the next message about a key, if one comes."""
        message: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._readers[key].add(message)
        try:
            yield message
        finally:
            self._readers[key].discard(message)
            if not self._readers[key]:
                del self._readers[key]

    async def listen(self) -> None:
        """Receive all messages, for ever; subscribe again whenever the connection is lost."""
        first_s, longest_s = RETRY_S
        wait_s = first_s
        while True:
            try:
                async with (await self._connections.subscriber()).pubsub() as pubsub:
                    await pubsub.subscribe(self.channel)
                    await self._hear(pubsub)
            except Exception as error:  # noqa: BLE001 - whatever it is, without messages every process looks for itself
                _log.debug("news lost", trouble=redis_failure_of(error).value)
            wait_s = first_s if self.is_heard else min(2 * wait_s, longest_s)
            self.is_heard = False
            _leave_if_cancelled()
            await asyncio.sleep(wait_s)

    async def _hear(self, pubsub: PubSub) -> None:
        """Take messages in until the connection no longer answers a ping."""
        is_asked = False
        while True:
            _leave_if_cancelled()
            message = await pubsub.get_message(timeout=SILENCE_S)
            if message is not None:
                is_asked, self.is_heard = False, True
                if message["type"] == "message":
                    self._spread(message["data"])
            elif is_asked:
                return
            else:
                await pubsub.ping()
                is_asked = True

    def _spread(self, message: bytes) -> None:
        key, _, text = message.partition(b" ")
        for reader in self._readers.get(key.decode("utf-8", "replace"), ()):
            if not reader.done():
                reader.set_result(text)


def _leave_if_cancelled() -> None:
    """Notice a cancellation that came with a reply: `wait_for`, which redis-py uses, swallows it until Python 3.11."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
