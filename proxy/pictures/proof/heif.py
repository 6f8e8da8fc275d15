"""AVIF, HEIC and other HEIF: boxes of their lengths, and the bytes that the boxes of an item or a track point to."""

from __future__ import annotations

from collections.abc import Iterator
from struct import error, unpack_from
from typing import NamedTuple

from proxy.pictures.proof.body import Body, Broken, Size, Walk

_FULL = {b"meta": 4}
"""Boxes that begin with a version and flags, and hold others behind them."""
_NESTS = frozenset({b"meta", b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl"})

_MAX_DEPTH = 8


class Box(NamedTuple):
    """Where a box's content is."""

    kind: bytes
    start: int
    end: int


def walk(body: Body) -> Walk:
    """Walk from box to box to the end of the body; what is no box there was appended, and does not matter."""
    at, reach = 0, 0
    while True:
        try:
            yield from body.until(at + 8)
        except Broken:
            break
        kind, size = bytes(body.data[at + 4 : at + 8]), int.from_bytes(body.data[at : at + 4])
        if not kind.isalnum():
            break
        body.count()
        start = at + 8
        if size == 1:  # the true one follows, in 8 bytes
            (size,), start = (yield from body.read(">Q", at + 8)), at + 16
        if size == 0 and kind == b"mdat":  # to the end of the body
            at = start
            break
        if size < start - at:
            raise Broken("has a box of no length")
        at += size
        yield from body.until(at)
        if kind in (b"meta", b"moov"):
            sizes, far = _described(body, Box(kind, start, at))
            yield from sizes
            reach = max(reach, far)
    if not reach:
        raise Broken("has no pixels")
    yield from body.until(max(reach, at))


def _described(body: Body, box: Box) -> tuple[list[Size], int]:
    """Give the sizes that a box describes, and how far into the body its items and tracks reach."""
    sizes, reach, idat = [], 0, 0
    try:
        found = list(_inner(body, box))
        idat = sum(each.end - each.start for each in found if each.kind == b"idat")
        for each in found:
            if each.kind == b"ispe":
                sizes.append(Size(*unpack_from(">II", body.data, each.start + 4)))
            elif each.kind == b"tkhd":
                width, height = unpack_from(">II", body.data, each.end - 8)
                sizes += [Size(width >> 16, height >> 16)] if width and height else []  # sound has neither
            elif each.kind == b"iloc":
                reach = max(reach, _items_reach(body, each, idat))
            elif each.kind in (b"stco", b"co64"):
                reach = max(reach, _chunks_reach(body, each))
    except error as problem:
        raise Broken("has a box that is too short") from problem
    return sizes, reach


def _inner(body: Body, box: Box, depth: int = 0) -> Iterator[Box]:
    """Give the boxes within one, at any depth that formats use."""
    at = box.start + _FULL.get(box.kind, 0)
    while at + 8 <= box.end:
        body.count()
        size, kind = unpack_from(">I4s", body.data, at)
        start = at + 8
        if size == 1:
            (size,), start = unpack_from(">Q", body.data, start), at + 16
        end = box.end if size == 0 else at + size
        if end < start or end > box.end:
            raise Broken("has a box that leaves another")
        inner = Box(kind, start, end)
        yield inner
        if kind in _NESTS and depth < _MAX_DEPTH:
            yield from _inner(body, inner, depth + 1)
        at = end


def _chunks_reach(body: Body, box: Box) -> int:
    """Tell how far the chunks of a track reach at least: one byte into the last of them."""
    (count,) = unpack_from(">I", body.data, box.start + 4)
    body.count(count)
    layout = f">{count}{'I' if box.kind == b'stco' else 'Q'}"
    return 1 + max(unpack_from(layout, body.data, box.start + 8), default=-1)


class _Fields:
    """Reads numbers of any length, one behind the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> int:
        """Read one."""
        self._at += length
        if self._at > len(self._data):
            raise Broken("has a box that is too short")
        return int.from_bytes(self._data[self._at - length : self._at])


def _items_reach(body: Body, box: Box, idat_bytes: int) -> int:
    """Read the extents of all items (ISO/IEC 14496-12 §8.11.3): how far into the body they reach.

    Those within `idat` have to fit into it; as its box is whole, they count as one byte.
    """
    fields, reach = _Fields(bytes(body.data[box.start : box.end])), 0
    version, lengths = fields.take(4) >> 24, fields.take(2)
    offset, length, base, index = (lengths >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(fields.take(4 if version > 1 else 2)):
        fields.take(4 if version > 1 else 2)
        method = fields.take(2) & 15 if version else 0
        fields.take(2)
        start = fields.take(base)
        for _ in range(fields.take(2)):
            body.count()
            fields.take(index if version else 0)
            at = start + fields.take(offset)
            end = at + fields.take(length)
            if method == 1 and end > idat_bytes:
                raise Broken("has an item that leaves its box")
            reach = max(reach, 1 if method else end)
    return reach
