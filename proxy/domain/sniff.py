"""What kind of picture some bytes are, and whether they were cut off. Only kinds that are nothing but an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from struct import calcsize, pack, unpack_from

SNIFF_BYTES = 128
"""How much of the beginning decides; only the brands of AVIF and HEIF reach beyond the first 22 bytes."""

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_BMP_HEADERS = frozenset(pack("<I", size) for size in (12, 16, 40, 52, 56, 64, 108, 124))
_AVIF = frozenset({b"avif", b"avis"})
_HEIC = frozenset({b"heic", b"heix", b"hevc", b"hevx"})
_HEIF = frozenset({b"mif1", b"msf1"})

_BMP_FIELDS = "<IIii2xHI"
"""Offset of the pixels, size of the second header, width, height, bits per pixel, compression."""

_MARKER = _FILL = 0xFF
_START_OF_SCAN = 0xDA
_NO_SEGMENT = frozenset(chain((0x00, 0x01), range(0xD0, 0xDA)))
"""JPEG markers that no length follows, the picture's end among them."""

_MAX_STEPS = 50_000
"""After so many parts a body counts as complete: a hostile one must not keep everybody waiting."""


def media_type(head: bytes) -> str | None:
    """Return the media type that the first `SNIFF_BYTES` bytes (or all, where there are fewer) prove, or None."""
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF" and head[8:14] == b"WEBPVP":
        return "image/webp"
    if head[:2] == b"BM" and head[14:18] in _BMP_HEADERS:
        return "image/bmp"
    if head[:4] == b"\0\0\1\0" and any(head[4:6]) and head[21:22]:
        return "image/x-icon"
    return _branded(head) if head[4:8] == b"ftyp" else None


def _branded(head: bytes) -> str | None:
    """Tell the pictures among ISO-BMFF files apart: AVIF, HEIC, other HEIF; None for films and the like."""
    end = min(int.from_bytes(head[:4]), len(head))
    major, others = head[8:12], {head[at : at + 4] for at in range(16, end - 3, 4)}
    if major in _HEIC:
        return "image/heic"
    if major in _AVIF or others & _AVIF:
        return "image/avif"
    if major in _HEIF:
        return "image/heic" if others & _HEIC else "image/heif"
    return None


def is_complete(media_type: str, body: bytes) -> bool:
    """Return False when a body of this type is visibly cut off; in doubt True. What is appended does not matter.

    A body that arrived in its announced length may have been short already where it was stored.
    """
    check = _CHECKS.get(media_type)
    return len(body) > 0 and (check is None or check(body))


def _has_png_end(body: bytes) -> bool:
    """Find the empty IEND chunk, and room for its checksum behind it."""
    at = body.find(b"\0\0\0\0IEND")
    return at >= 0 and at + 12 <= len(body)


def _jpeg_scan(body: bytes) -> int:
    """Return where the first scan's data may begin: a segment before it can hold a whole preview, its end included."""
    at = 2
    for _ in range(_MAX_STEPS):
        if at + 4 > len(body) or body[at] != _MARKER or body[at + 1] in _NO_SEGMENT:
            break
        marker = body[at + 1]
        at += 1 if marker == _FILL else 2 + int.from_bytes(body[at + 2 : at + 4])
        if marker == _START_OF_SCAN:
            break
    return at


def _has_jpeg_end(body: bytes) -> bool:
    return body.find(b"\xff\xd9", _jpeg_scan(body)) >= 0


def _has_gif_end(body: bytes) -> bool:
    """Walk from block to block until the trailer, or one of unknown kind: browsers stop there as well.

    Some writers forget the trailer, and browsers do not mind: then the body has to end right after an image.
    """
    at, in_data, has_image = 13 + _gif_colours(body[10:11]), False, False
    for _ in range(_MAX_STEPS):
        block = body[at : at + 1]
        if not block:
            return has_image and not in_data and at == len(body)
        if in_data:
            at, in_data = at + 1 + block[0], block != b"\0"
        elif block == b"!":
            at, in_data = at + 2, True
        elif block == b",":
            at, in_data, has_image = at + 11 + _gif_colours(body[at + 9 : at + 10]), True, True
        else:
            break
    return True


def _gif_colours(flags: bytes) -> int:
    """Return the bytes of the colour table that the flags announce."""
    bits = int.from_bytes(flags)
    return 3 << (bits & 7) + 1 if bits & 0x80 else 0


def _has_riff_size(body: bytes) -> bool:
    return 8 + int.from_bytes(body[4:8], "little") <= len(body)


def _has_bmp_pixels(body: bytes) -> bool:
    """Hold the body against the size that its header names or, some writers being wrong there, against its pixels."""
    if int.from_bytes(body[2:6], "little") <= len(body):
        return True
    if 10 + calcsize(_BMP_FIELDS) > len(body):
        return False
    offset, header, width, height, bits, compression = unpack_from(_BMP_FIELDS, body, 10)
    is_plain = header in range(40, 125) and compression in (0, 3)
    return is_plain and offset + (width * bits + 31) // 32 * 4 * abs(height) <= len(body)


def _has_icons(body: bytes) -> bool:
    """Check that every picture of the directory lies within the body."""
    count = int.from_bytes(body[4:6], "little")
    if 6 + 16 * count > len(body):
        return False
    entries = (unpack_from("<II", body, 14 + 16 * entry) for entry in range(count))
    return all(offset + size <= len(body) for size, offset in entries)


def _has_boxes(body: bytes) -> bool:
    return all(end <= len(body) for end in _box_ends(body))


def _box_ends(body: bytes) -> Iterator[int]:
    """Give the end of each top-level box, as its own length has it, as long as it looks like one."""
    at = 0
    for _ in range(_MAX_STEPS):
        size, kind = int.from_bytes(body[at : at + 4]), body[at + 4 : at + 8]
        if size == 1:  # the true one follows, in 8 bytes
            size = int.from_bytes(body[at + 8 : at + 16])
        if size < len(kind) + 4 or not kind.isalnum():
            return  # 0 means: to the end of the body; anything else is no box, but something appended
        at += size
        yield at


_CHECKS: dict[str, Callable[[bytes], bool]] = {
    "image/png": _has_png_end,
    "image/jpeg": _has_jpeg_end,
    "image/gif": _has_gif_end,
    "image/webp": _has_riff_size,
    "image/bmp": _has_bmp_pixels,
    "image/x-icon": _has_icons,
    "image/avif": _has_boxes,
    "image/heic": _has_boxes,
    "image/heif": _has_boxes,
}
