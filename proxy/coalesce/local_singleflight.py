"""Work that is not shared: there is neither Redis nor a disk tier."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import TypeVar

from proxy.coalesce.work_sharing import Loader
from proxy.redis.lease import LeaseHolder

T = TypeVar("T")


class LocalSingleflight:
    """This process loads for itself."""

    async def share(self, loader: Loader[T], turn: str | None = None) -> T:  # noqa: ARG002 - there is nobody to wait for
        """Load."""
        return await loader.load()

    def claim(self, _key: str, _turn: str | None = None) -> AbstractContextManager[None]:
        """Claim nothing."""
        return nullcontext()

    @asynccontextmanager
    async def lead(self, _key: str) -> AsyncIterator[LeaseHolder]:
        """Lead."""
        yield LeaseHolder.MINE

    async def take_turns(self, _key: str, work: Callable[[], Awaitable[T]], _opens: Callable[[T], bool]) -> T:
        """Work."""
        return await work()
