"""BMP and icons: headers that say how far the pixels reach."""

from __future__ import annotations

from proxy.pictures.proof import png
from proxy.pictures.proof.body import Body, Broken, Size, Walk

_OLDEST = 12
"""The length of the oldest header, with sizes of two bytes."""
_PLAIN = frozenset({0, 3, 6})
"""Compressions that leave each pixel its bits."""
_MAX_ICONS = 64


def walk_bmp(body: Body) -> Walk:
    """Hold the body against its pixels or, where they are compressed, against the length that its header names."""
    named, offset, header = yield from body.read("<I4xII", 2)
    compression = 0
    if header == _OLDEST:
        width, height, bits = yield from body.read("<HH2xH", 18)
    else:
        width, height, bits, compression = yield from body.read("<ii2xHI", 18)
    yield Size(abs(width), abs(height))
    end = named
    if compression in _PLAIN:
        end = offset + (abs(width) * bits + 31) // 32 * 4 * abs(height)
    if end <= offset or offset < 14 + header:
        raise Broken("has no pixels")
    yield from body.until(end)


def walk_icons(body: Body) -> Walk:
    """Hold the body against each picture of the directory."""
    (count,) = yield from body.read("<H", 4)
    end = 6 + 16 * count
    if count > _MAX_ICONS:
        raise Broken("has too many parts")
    for entry in range(count):
        length, offset = yield from body.read("<II", 14 + 16 * entry)
        if offset < 6 + 16 * count or not length:
            raise Broken("has no pixels")
        head = bytes((yield from body.read("<8s", offset))[0])
        if head == png.SIGNATURE:
            yield from png.walk(body, offset)
        else:
            width, height = yield from body.read("<ii", offset + 4)
            yield Size(abs(width), abs(height) // 2)  # a mask of the same size lies below it
        end = max(end, offset + length)
    yield from body.until(end)
