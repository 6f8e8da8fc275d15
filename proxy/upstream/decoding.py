"""Undoes the content coding of an image that its storage keeps compressed (RFC 9110 §8.4)."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

from proxy.domain.errors import UpstreamError

PIECE_BYTES = 64 * 1024
"""How much is decoded at once, so that a reader that counts the bytes can stop a bomb."""
_ANY_HEADER = zlib.MAX_WBITS | 32
"""zlib finds out itself whether it is gzip or deflate."""
_DECODED = frozenset({"gzip", "x-gzip", "deflate"})
_MARKS = (b"\x1f\x8b", b"\x78")
"""What gzip and deflate (in zlib's frame) begin with; an image that begins otherwise is as it is, whatever is said."""


def decoded(coding: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the chunks as they were before they were compressed; raise UpstreamError for an unknown coding."""
    if coding.strip().lower() not in _DECODED:
        raise UpstreamError("The image is compressed in a way that was not asked for.")
    return _inflated(chunks)


async def _inflated(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    inflater: zlib._Decompress | None = None
    is_first = True
    async for chunk in chunks:
        if is_first and chunk.startswith(_MARKS):
            inflater = zlib.decompressobj(_ANY_HEADER)
        is_first = False
        for piece in [chunk] if inflater is None else _pieces(inflater, chunk):
            yield piece
    if inflater is not None and not inflater.eof:
        raise UpstreamError("The compressed image is cut off.")


def _pieces(inflater: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    """Inflate one chunk, a piece at a time."""
    try:
        while chunk:
            piece = inflater.decompress(chunk, PIECE_BYTES)
            yield piece
            chunk = inflater.unconsumed_tail
    except zlib.error as error:
        raise UpstreamError("The image is compressed in a way that cannot be undone.") from error
