"""Messages from the process that has done a piece of work to those that wait for its outcome."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgspec


class Whole(msgspec.Struct, frozen=True, array_like=True, tag="whole"):
    """The outcome itself."""

    value: bytes


class Seen(msgspec.Struct, frozen=True, array_like=True, tag="seen"):
    """The outcome is stored; this version of it has just been seen at its source."""

    version: bytes


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """The outcome is stored."""


Message: TypeAlias = Whole | Seen | Done


class Stored(NamedTuple):
    """No message: the value that stood in Redis when the lease was taken."""

    value: bytes


Received: TypeAlias = Message | Stored
"""A message of another process, or the value that it has stored."""

DONE = Done()

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def seen(version: str) -> Seen:
    """Name a version, which may hold any bytes of a header field."""
    return Seen(version.encode("utf-8", "surrogatepass"))


def encode(message: Message) -> bytes:
    """Write a message, in as few bytes as it takes."""
    return b"" if message == DONE else _encoder.encode(message)


def decode(data: bytes) -> Message | None:
    """Read a message; None for anything else."""
    try:
        return _decoder.decode(data) if data else DONE
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
