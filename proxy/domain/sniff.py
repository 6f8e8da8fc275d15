"""Media types by the first bytes. Only kinds that are nothing but an image."""

from __future__ import annotations

from struct import pack

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
MEDIA_TYPES = frozenset(
    {*_SIGNATURES.values(), "image/webp", "image/bmp", "image/x-icon", "image/avif", "image/heic", "image/heif"}
)
"""All that `media_type` returns."""


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
