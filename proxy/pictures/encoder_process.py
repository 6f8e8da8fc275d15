"""An encoder process: reads pictures from its standard input, writes to its standard output, can do no more.

Run as `python -m proxy.pictures.encoder_process LIMITS`, where LIMITS is the JSON of `Limits`. A frame is its length in
4 bytes, big-endian, and that many bytes. A request is the msgpack of a `Job`; a reply begins with `DONE` and goes on
with the variant or the msgpack of the look, or with `FAILED` and a reason. The process ends with its standard input.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import BinaryIO, TypeAlias

import msgspec
from PIL import AvifImagePlugin, Image, WebPImagePlugin

from proxy.domain.variant import Variant
from proxy.pictures.encode import NotEncodable, Quality, encode, look
from proxy.pictures.syscall_filter import syscall_filter

DONE, FAILED = b"\0", b"\1"
LENGTH_BYTES = 4
_PLUGINS = (AvifImagePlugin, WebPImagePlugin)
"""Imported for their registration: no file can be opened later."""
_STANDARD_STREAMS = 3
_NICENESS = 10
_KEPT_BYTES = 32 * 2**20
"""The most that glibc takes as a threshold of mmap."""
_KEPT_BLOCKS = 2
"""Pillow's blocks of memory for pixels, of 16 MiB at most."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


class Limits(msgspec.Struct, frozen=True):
    """The limits of the process."""

    quality: Quality
    max_pixels: int
    memory_bytes: int
    """Address space."""


class EncodeJob(msgspec.Struct, array_like=True, frozen=True, tag="encode"):
    """One picture to be encoded."""

    variant: Variant
    body: bytes


class LookJob(msgspec.Struct, array_like=True, frozen=True, tag="look"):
    """One picture to be looked at."""

    body: bytes


Job: TypeAlias = EncodeJob | LookJob


def main() -> None:
    """Give up all rights but computing, and serve until the standard input ends."""
    limits = msgspec.json.decode(sys.argv[1], type=Limits)
    Image.preinit()
    _confine(limits.memory_bytes)
    decoder: msgspec.msgpack.Decoder[Job] = msgspec.msgpack.Decoder(Job)
    while (frame := _read(sys.stdin.buffer)) is not None:
        _write(sys.stdout.buffer, _reply(decoder.decode(frame), limits))


def _confine(memory_bytes: int) -> None:
    """No file, no socket, no core dump, no more memory than that, no new privileges; killed when its parent is gone.

    With libseccomp the kernel also refuses every system call that computing does not need.
    """
    syscalls = syscall_filter()  # before no file can be opened
    with suppress(OSError):  # forbidden by the unit's SystemCallFilter
        os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_STANDARD_STREAMS, _STANDARD_STREAMS))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        _keep_freed_memory(libc)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if syscalls is not None:
        with suppress(OSError):  # the filter of a container may forbid one more
            syscalls.load()


def _keep_freed_memory(libc: ctypes.CDLL) -> None:
    """Use the pages of one picture for the next: to fault them in anew costs a tenth of the time of an encode.

    mallopt(3); musl has none.
    """
    with suppress(AttributeError):
        for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            libc.mallopt(option, _KEPT_BYTES)
    Image.core.set_blocks_max(_KEPT_BLOCKS)  # type: ignore[attr-defined] # documented: Pillow, "Block allocator"


def _reply(job: Job, limits: Limits) -> bytes:
    try:
        return DONE + _done(job, limits)
    except NotEncodable as error:
        return FAILED + str(error).encode()
    except Exception as error:  # noqa: BLE001 - Pillow raises anything for a hostile picture
        return FAILED + type(error).__name__.encode()


def _done(job: Job, limits: Limits) -> bytes:
    match job:
        case EncodeJob(variant, body):
            return encode(body, variant, limits.quality, limits.max_pixels)
        case LookJob(body):
            return msgspec.msgpack.encode(look(body, limits.max_pixels))


def _read(stream: BinaryIO) -> bytes | None:
    length = stream.read(LENGTH_BYTES)
    return stream.read(int.from_bytes(length)) if len(length) == LENGTH_BYTES else None


def _write(stream: BinaryIO, reply: bytes) -> None:
    stream.write(len(reply).to_bytes(LENGTH_BYTES))
    stream.write(reply)
    stream.flush()


if __name__ == "__main__":
    main()
