"""PNG: every chunk up to IEND has its bytes and the checksum of them."""

from __future__ import annotations

import zlib
from struct import unpack

from proxy.pictures.proof.body import Body, Broken, Size, Walk

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def walk(body: Body, start: int = 0) -> Walk:
    """Walk from chunk to chunk; what follows IEND does not matter."""
    at, kind = start + len(SIGNATURE), b""
    kinds: set[bytes] = set()
    while kind != b"IEND":
        body.count()
        length, kind = yield from body.read(">I4s", at)
        if not kinds and (kind, length) != (b"IHDR", 13):
            raise Broken("does not begin with its header")
        kinds.add(kind)
        yield from _checked(body, at + 4, at + 8 + length)
        if kind == b"IHDR":
            yield Size(*unpack(">II", body.data[at + 8 : at + 16]))
        at += 12 + length
    if b"IDAT" not in kinds:
        raise Broken("has no pixels")


def _checked(body: Body, at: int, end: int) -> Walk:
    """Sum up a chunk as it arrives, and compare."""
    checksum = 0
    while at < end:
        upto = min(len(body.data), end)
        checksum = zlib.crc32(body.data[at:upto], checksum)
        at = upto
        yield from body.until(min(at + 1, end))
    (wanted,) = yield from body.read(">I", end)
    if checksum != wanted:
        raise Broken("fails its checksum")
