"""The contract for work that processes share: one of them does it, and the others get its outcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from proxy.coalesce.messages import Message, Received
from proxy.domain.shared_write import Commit
from proxy.redis.lease import Claim, LeaseHolder

T = TypeVar("T")


class Handover(NamedTuple):
    """The message and the value that the process which has done the work leaves to the others."""

    message: Message
    commit: Commit | None = None
    """Stores the outcome where all find it, before anybody hears the message."""


@dataclass(frozen=True, slots=True)
class Loader(Generic[T]):
    """One piece of work, as each process does it."""

    key: str
    read: Callable[[Received | None], Awaitable[T | None]]
    """Gives the outcome that another process has left, or that is stored; None where it is not wanted."""
    load: Callable[[], Awaitable[T]]
    """Does the work, and stores its outcome for this machine."""
    write: Callable[[T], Handover]
    """Makes the message about an outcome, and its stored form."""


class WorkSharing(Protocol):
    """Shares work among the replicas of one Redis, among the processes of one disk, or not at all."""

    async def share(self, loader: Loader[T], turn: str | None = None) -> T:
        """Give what one process loads. `turn` names the turn that the load is going to take."""

    def claim(self, key: str, turn: str | None = None) -> AbstractContextManager[Claim | None]:
        """Lead in the step that reads a key and finds nothing; None where a read costs no step of its own."""

    def lead(self, key: str) -> AbstractAsyncContextManager[LeaseHolder]:
        """Try to be the one process that does something for long; leaving the block makes room for another."""

    async def take_turns(self, key: str, work: Callable[[], Awaitable[T]], opens: Callable[[T], bool]) -> T:
        """Do work while no other process does it, until an outcome that `opens` the way for all at once."""
