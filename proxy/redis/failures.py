"""The failures of Redis, read from the exceptions of redis-py."""

from __future__ import annotations

from enum import StrEnum

from redis.exceptions import AuthenticationError, AuthorizationError, MovedError, RedisError, ResponseError
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoReply


class RedisFailure(StrEnum):
    """A kind of trouble; the value is the metric's label."""

    UNREACHABLE = "unreachable"
    """No connection, a broken one, or a server that is loading its data."""
    TIMEOUT = "timeout"
    DENIED = "denied"
    """Redis does not accept the user or the password."""
    REFUSED = "refused"
    """Redis answers with an error: full, a read-only replica, a forbidden command, a key that holds something else."""
    MOVED = "moved"
    """Another server of the cluster holds the key by now."""
    BUSY = "busy"
    """All connections are in use."""
    LATE = "late"
    """Nothing was sent in time: others were waiting for their replies."""
    GARBAGE = "garbage"
    """A value that this version has not written."""
    UNEXPECTED = "unexpected"

    @property
    def pauses(self) -> bool:
        """Tell whether the next command would fare no better; the other kinds say nothing against it."""
        return self in _PAUSING

    @property
    def explanation(self) -> str:
        """Say it to the operator; neither password nor address is in it."""
        return _EXPLANATIONS[self]


_PAUSING = frozenset({RedisFailure.UNREACHABLE, RedisFailure.TIMEOUT, RedisFailure.DENIED, RedisFailure.UNEXPECTED})

_EXPLANATIONS = {
    RedisFailure.UNREACHABLE: "Redis cannot be reached, or is still loading its data.",
    RedisFailure.TIMEOUT: "Redis does not answer in time.",
    RedisFailure.DENIED: "Redis does not accept the user or the password.",
    RedisFailure.REFUSED: "Redis refuses the command.",
    RedisFailure.MOVED: "Another server of the Redis Cluster holds the key by now.",
    RedisFailure.BUSY: "All connections to Redis are in use.",
    RedisFailure.LATE: "Redis does not answer in time.",
    RedisFailure.GARBAGE: "Redis holds a value that this version has not written.",
    RedisFailure.UNEXPECTED: "Redis' answer cannot be understood.",
}


_KINDS: tuple[tuple[type[Exception], RedisFailure], ...] = (
    (AuthenticationError, RedisFailure.DENIED),
    (AuthorizationError, RedisFailure.DENIED),
    (MovedError, RedisFailure.MOVED),
    (ResponseError, RedisFailure.REFUSED),
    (NoReply, RedisFailure.TIMEOUT),
    (TimeoutError, RedisFailure.TIMEOUT),
    (NoConnection, RedisFailure.UNREACHABLE),
    (OSError, RedisFailure.UNREACHABLE),
)
"""The first that fits."""


def redis_failure_of(error: Exception) -> RedisFailure:
    """Name the kind of trouble that an exception stands for."""
    # Over a unix socket redis-py wraps what the greeting meets.
    cause = error.__cause__ if isinstance(error.__cause__, RedisError) else error
    if isinstance(cause, NoConnection) and isinstance(cause.__cause__, TimeoutError):
        return RedisFailure.BUSY  # the pool's way of saying so
    return next((trouble for kind, trouble in _KINDS if isinstance(cause, kind)), RedisFailure.UNEXPECTED)
