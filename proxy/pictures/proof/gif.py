"""GIF: blocks and their parts, up to the trailer."""

from __future__ import annotations

from collections.abc import Generator

from proxy.pictures.proof.body import Body, Broken, Size, Walk

_IMAGE, _EXTENSION, _TRAILER = b",", b"!", b";"


def walk(body: Body) -> Walk:
    """Walk from block to block until the trailer. A body without one may have lost images, and counts as cut off."""
    width, height, flags = yield from body.read("<HHB", 6)
    if width and height:  # else images alone say how large they are
        yield Size(width, height)
    at, has_image = 13 + _colours(flags), False
    while True:
        (kind,) = yield from body.read("c", at)
        if kind == _TRAILER:
            break
        if kind == _IMAGE:
            _, _, width, height, flags = yield from body.read("<HHHHB", at + 1)
            yield Size(width, height)
            at, has_image = at + 11 + _colours(flags), True
        elif kind == _EXTENSION:
            at += 2
        else:
            raise Broken("holds an unknown block")
        at = yield from _data_end(body, at)
    if not has_image:
        raise Broken("has no pixels")


def _data_end(body: Body, at: int) -> Generator[Size | None, None, int]:
    """Give the end of a block's data, parts of up to 255 bytes and an empty one."""
    length = 1
    while length:
        body.count()
        if at >= len(body.data):
            yield from body.until(at + 1)
        length = body.data[at]
        at += 1 + length
    return at


def _colours(flags: int) -> int:
    """Return the bytes of the colour table that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
