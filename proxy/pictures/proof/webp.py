"""WebP: a RIFF file of its announced length, of chunks that lie within it."""

from __future__ import annotations

from collections.abc import Callable, Generator

from proxy.pictures.proof.body import Body, Broken, Size, Walk


def walk(body: Body) -> Walk:
    """Walk from chunk to chunk up to the announced length; what follows it does not matter."""
    (length,) = yield from body.read("<I", 4)
    end = 8 + length
    yield from _chunks(body, 12, end, {b"VP8 ", b"VP8L", b"ANMF"})
    yield from body.until(end)


def _chunks(body: Body, at: int, end: int, pixels: set[bytes]) -> Walk:
    kinds = set()
    while at + 8 <= end:
        body.count()
        kind, length = yield from body.read("<4sI", at)
        kinds.add(kind)
        if at + 8 + length > end:
            raise Broken("has a chunk that leaves it")
        if kind in _SIZES:
            if length < _LEAST[kind]:
                raise Broken("has a chunk that is too short")
            yield (yield from _SIZES[kind](body, at + 8, length))
        if kind == b"ANMF" and kind in pixels:
            yield from _chunks(body, at + 24, at + 8 + length, {b"VP8 ", b"VP8L"})
        else:
            yield from body.until(at + 8 + length)
        at += 8 + length + length % 2
    if not kinds & pixels:
        raise Broken("has no pixels")


Reader = Generator[Size | None, None, Size]


def _canvas(body: Body, at: int, _: int) -> Reader:
    yield from body.until(at + 10)
    return Size(1 + _three(body, at + 4), 1 + _three(body, at + 7))


def _frame(body: Body, at: int, _: int) -> Reader:
    yield from body.until(at + 12)
    return Size(1 + _three(body, at + 6), 1 + _three(body, at + 9))


def _lossy(body: Body, at: int, length: int) -> Reader:
    """Read a key frame's head; its first partition has to lie within it (RFC 6386 §9.1)."""
    yield from body.until(at + 10)
    if body.data[at + 3 : at + 6] != b"\x9d\x01\x2a" or 10 + (_three(body, at) >> 5) > length:
        raise Broken("has a frame that is cut off")
    width, height = yield from body.read("<HH", at + 6)
    return Size(width & 0x3FFF, height & 0x3FFF)


def _lossless(body: Body, at: int, _: int) -> Reader:
    mark, bits = yield from body.read("<BI", at)
    if mark != 0x2F:  # noqa: PLR2004 - the signature of the format
        raise Broken("has a frame that is none")
    return Size(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))


def _three(body: Body, at: int) -> int:
    return int.from_bytes(body.data[at : at + 3], "little")


_SIZES: dict[bytes, Callable[[Body, int, int], Reader]] = {
    b"VP8X": _canvas,
    b"ANMF": _frame,
    b"VP8 ": _lossy,
    b"VP8L": _lossless,
}
_LEAST = {b"VP8X": 10, b"ANMF": 16, b"VP8 ": 10, b"VP8L": 5}
"""How many bytes such a chunk has at least."""
