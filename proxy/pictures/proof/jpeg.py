"""JPEG: segments of their lengths, a frame, scans, and the end of the image behind them."""

from __future__ import annotations

import re
from collections.abc import Generator

from proxy.pictures.proof.body import Body, Broken, Size, Walk

_MARKER = 0xFF
_END, _SCAN, _TEMPORARY = 0xD9, 0xDA, 0x01
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_RESTARTS = frozenset(range(0xD0, 0xD8))
_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL)
"""A marker that ends the data of a scan: neither a byte that is escaped nor a restart."""


def walk(body: Body) -> Walk:
    """Walk from segment to segment, over the data of each scan, to the end of the image; more may follow it."""
    at, has_frame, has_scan = 2, False, False
    while True:
        body.count()
        marker, code = yield from body.read(">BB", at)
        if marker != _MARKER:
            raise Broken("holds no marker where one belongs")
        if code == _MARKER:  # fill
            at += 1
        elif code == _END:
            break
        elif code in _RESTARTS or code == _TEMPORARY:
            at += 2
        else:
            end = yield from _segment(body, at + 2, is_frame=code in _FRAMES)
            has_frame, has_scan = has_frame or code in _FRAMES, has_scan or code == _SCAN
            at = (yield from _scan_end(body, end)) if code == _SCAN else end
    if not has_frame or not has_scan:
        raise Broken("has no pixels")


def _segment(body: Body, at: int, *, is_frame: bool) -> Generator[Size | None, None, int]:
    """Give the end of a segment that begins with its length; tell the size where it describes a frame."""
    (length,) = yield from body.read(">H", at)
    if length < 2 + 6 * is_frame:
        raise Broken("has a segment that is too short")
    if is_frame:
        height, width = yield from body.read(">HH", at + 3)
        yield Size(width, height)
    yield from body.until(at + length)
    return at + int(length)


def _scan_end(body: Body, at: int) -> Generator[Size | None, None, int]:
    """Give the place of the marker behind the data of a scan."""
    while (found := _IN_SCAN.search(body.data, at)) is None:
        at = max(at, len(body.data) - 1)
        yield from body.until(len(body.data) + 1)
    return found.start()
