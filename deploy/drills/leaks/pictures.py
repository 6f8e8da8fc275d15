"""PNGs each of which tells by the colour of its first pixel which version of a file it shows."""

from __future__ import annotations

import struct
import zlib
from random import Random

NUMBERS = 32**3
"""So many versions differ: five bits a channel, eight shades apart, so that a lossy copy is still known."""
WIDTH, HEIGHT, PLAIN = 120, 90, 60
"""Rows below the first `PLAIN` are noise, so that a picture is some 10 kB and arrives in pieces."""
_MAGIC = b"\x89PNG\r\n\x1a\n"
_NOISE = Random(1).randbytes(64 * 1024)  # noqa: S311 - a picture, not a secret
_CHANNELS = {2: 3, 6: 4}


class NotWhole(Exception):
    """Bytes that are no complete picture of ours."""


def draw(number: int) -> bytes:
    """Draw version `number`."""
    red, green, blue = number % 32, number // 32 % 32, number // 1024 % 32
    colour = bytes(8 * shade + 4 for shade in (red, green, blue))
    noisy, start = 3 * WIDTH * (HEIGHT - PLAIN), number % 4096
    noise = _NOISE[start : start + noisy]
    rows = [colour * WIDTH] * PLAIN + [noise[at : at + 3 * WIDTH] for at in range(0, noisy, 3 * WIDTH)]
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 1)
    chunks = (b"IHDR", header), (b"IDAT", body), (b"IEND", b"")
    return _MAGIC + b"".join(struct.pack(">I", len(data)) + kind + data + _crc(kind, data) for kind, data in chunks)


def number_of(body: bytes) -> int:
    """Decode a picture to its end and tell its version; NotWhole for anything else."""
    header, pixels = _read(body)
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    channels = _CHANNELS.get(colour)
    if channels is None or depth != 8:  # noqa: PLR2004 - bits
        raise NotWhole(f"colour type {colour}, {depth} bits")
    if len(pixels) != height * (1 + channels * width):
        raise NotWhole(f"{len(pixels)} bytes of pixels for {width}x{height}")
    red, green, blue = (shade // 8 for shade in pixels[1:4])  # no filter changes the first pixel of the first row
    return int(red + 32 * green + 1024 * blue)


def _read(body: bytes) -> tuple[bytes, bytes]:
    """Check every chunk; give the header, and the pixels decompressed."""
    if not body.startswith(_MAGIC):
        raise NotWhole(f"{len(body)} bytes that are no PNG")
    at, header, packed = len(_MAGIC), b"", b""
    while at + 12 <= len(body):
        (length,) = struct.unpack_from(">I", body, at)
        kind, data, crc = body[at + 4 : at + 8], body[at + 8 : at + 8 + length], body[at + 8 + length :][:4]
        if crc != _crc(kind, data):
            raise NotWhole("a broken chunk")
        at += 12 + length
        header, packed = (data, packed) if kind == b"IHDR" else (header, packed + data * (kind == b"IDAT"))
        if kind == b"IEND" and at == len(body):
            return header, _inflated(packed)
    raise NotWhole(f"{len(body)} bytes without an end")


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompress(packed)
    except zlib.error as error:
        raise NotWhole("pixels that cannot be decompressed") from error


def _crc(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(kind + data))
