"""Hits of a variant against hits of an original of the same size, in turn."""

from __future__ import annotations

import struct
import zlib
from statistics import median

import aiohttp

from deploy.benchmarks.load import Load
from deploy.benchmarks.table import Row
from proxy.standin.standin import StandIn

ROUNDS = 5
ALIKE = 0.95
"""So near is as near as two measurements of the same come."""
_ACCEPT = {"Accept": "image/webp"}
_PNG_END = 12


async def hits(cloudreve: StandIn, origin: str, thumbnail: bytes, load: Load, rounds: int = ROUNDS) -> Row:
    """Make the row."""
    library = cloudreve.library
    share = library.publish(library.alice, "/hit").id
    library.put(library.alice, "/hit/variant.png", thumbnail=thumbnail)
    variant, original = (f"/thumb?uri=cloudreve://{share}@share/{name}.png" for name in ("variant", "original"))
    size_bytes = await _size(origin + variant, _ACCEPT)
    library.put(library.alice, "/hit/original.png", thumbnail=_padded(size_bytes))
    if await _size(origin + original, {}) != size_bytes:
        raise RuntimeError("both should be of the same size")
    found: dict[str, list[float]] = {variant: [], original: []}
    for _ in range(rounds):
        for path, headers in ((variant, _ACCEPT), (original, {})):
            measured = await load.put_on(origin, [path], headers)
            found[path].append(measured.rate)
    ours, theirs = median(found[variant]), median(found[original])
    return Row(
        f"hits of a WebP variant of {size_bytes} bytes, and of an original of as many",
        f"{ours:.0f} a second",
        f"{theirs:.0f} a second",
        f"{ours / theirs:.2f} x",
        f">= {ALIKE} x",
        ours / theirs >= ALIKE,
    )


async def _size(url: str, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return len(await response.read())


def _padded(size_bytes: int) -> bytes:
    """Make a PNG of one pixel and so many bytes, by a comment."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")]
    bare = sum(_PNG_END + len(data) for _, data in chunks) + 8
    chunks.insert(1, (b"tEXt", b"Title\0".ljust(size_bytes - bare - _PNG_END, b"x")))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
