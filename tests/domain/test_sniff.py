"""Sniffing: the media type comes from the bytes."""

from __future__ import annotations

import zlib
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.sniff import SNIFF_BYTES, media_type


def png(pixels: bytes = b"\0\xff\xff\xff", more: bytes = b"") -> bytes:
    """Build a PNG of one pixel, or of what is claimed to be one."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + pack(">H", len(body) + 2) + body


def jpeg(scan: bytes = b"\x12\x34", preview: bytes = b"") -> bytes:
    """Build a JPEG with its data escaped as they have to be, and maybe a preview in its Exif segment."""
    start = b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + preview) + segment(0xDB, bytes(65))
    frame = segment(0xC0, bytes([8, 0, 1, 0, 1, 1, 1, 17, 0])) + b"\xff" + segment(0xC4, bytes(17))
    return start + frame + segment(0xDA, bytes([1, 1, 0, 0, 63, 0])) + scan.replace(b"\xff", b"\xff\0") + b"\xff\xd9"


def gif(data: bytes = b"\x44\x01", colours: int = 1, comment: bytes = b"", version: bytes = b"89a") -> bytes:
    """Build a GIF of one pixel, with colour tables of both kinds and maybe a comment; data go into short blocks."""

    def blocks(body: bytes) -> bytes:
        parts = [body[at : at + 7] for at in range(0, len(body), 7)]
        return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"

    table = bytes(3 << colours + 1)
    screen = b"GIF" + version + pack("<HHBBB", 1, 1, 0x80 | colours, 0, 0) + table
    extension = b"!\xfe" + blocks(comment)
    image = b"," + pack("<HHHHB", 0, 0, 1, 1, 0x80 | colours) + table + b"\x02" + blocks(data)
    return screen + extension + image + b";"


def webp(data: bytes = b"\x2f\0\0\0\0\x88\x88\x08", kind: bytes = b"VP8L") -> bytes:
    padded = data + b"\0" * (len(data) % 2)
    return b"RIFF" + pack("<I", 12 + len(padded)) + b"WEBP" + kind + pack("<I", len(data)) + padded


def bmp(width: int = 3, height: int = 2, named: int | None = None, compression: int = 0, header: int = 40) -> bytes:
    """Build a BMP of 24 bits per pixel, whose header may name another size."""
    pixels = bytes((width * 24 + 31) // 32 * 4 * abs(height))
    offset = 14 + header
    size = offset + len(pixels) if named is None else named
    shape = pack("<IiiHHI", header, width, height, 1, 24, compression)
    return b"BM" + pack("<IHHI", size, 0, 0, offset) + shape.ljust(header, b"\0") + pixels


def ico(*pictures: bytes) -> bytes:
    directory, body, offset = b"", b"", 6 + 16 * len(pictures)
    for picture in pictures:
        directory += pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(picture), offset + len(body))
        body += picture
    return pack("<HHH", 0, 1, len(pictures)) + directory + body


def box(kind: bytes, body: bytes) -> bytes:
    return pack(">I", len(body) + 8) + kind + body


def bmff(major: bytes, *others: bytes, more: bytes = b"") -> bytes:
    """Build an ISO-BMFF file of the given brands."""
    start = box(b"ftyp", major + bytes(4) + b"".join(others))
    return start + box(b"meta", bytes(20)) + (more or box(b"mdat", b"\x12\0\x0a\x07" * 9))


WHOLE = {
    "png": ("image/png", png()),
    "jpeg": ("image/jpeg", jpeg()),
    "gif 87": ("image/gif", gif(version=b"87a")),
    "gif 89": ("image/gif", gif()),
    "webp lossless": ("image/webp", webp()),
    "webp lossy": ("image/webp", webp(kind=b"VP8 ")),
    "webp extended": ("image/webp", webp(kind=b"VP8X")),
    "bmp": ("image/bmp", bmp()),
    "bmp, later header": ("image/bmp", bmp(header=124)),
    "ico": ("image/x-icon", ico(png(), b"\x28" + bytes(50))),
    "avif": ("image/avif", bmff(b"avif", b"mif1", b"miaf")),
    "avif sequence": ("image/avif", bmff(b"avis", b"msf1")),
    "avif by other brand": ("image/avif", bmff(b"mif1", b"mif1", b"miaf", b"avif")),
    "avif sequence by other brand": ("image/avif", bmff(b"msf1", b"avis")),
    "heic": ("image/heic", bmff(b"heic", b"mif1", b"heic")),
    "heic, ten bits": ("image/heic", bmff(b"heix")),
    "heic sequence": ("image/heic", bmff(b"hevc")),
    "heic sequence, ten bits": ("image/heic", bmff(b"hevx")),
    "heic by other brand": ("image/heic", bmff(b"mif1", b"mif1", b"heic")),
    "heif": ("image/heif", bmff(b"mif1", b"miaf")),
    "heif sequence": ("image/heif", bmff(b"msf1")),
}
wholes = pytest.mark.parametrize(("kind", "body"), WHOLE.values(), ids=WHOLE.keys())


@wholes
def test_a_picture_is_known_by_its_first_bytes(kind: str, body: bytes) -> None:
    assert media_type(body[:SNIFF_BYTES]) == kind
    assert media_type((body + bytes(SNIFF_BYTES))[:SNIFF_BYTES]) == kind


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x89PNG",
        b"\xff\xd8",
        b"GIF89",
        b"GIF90a",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"RIFF\x10\0\0\0WEBP",
        b"BM",
        b"BM is how this text begins",
        b"\0\0\1\0",
        b"\0\0\1\0\0\0" + bytes(30),
        b"\0\0\2\0\1\0" + bytes(30),
        b"\0\1\0\0\0\x0e" + bytes(30),
        b"\0\0\0\x18ftyp",
        bmff(b"isom", b"iso2", b"avc1", b"mp41"),
        bmff(b"qt  "),
        bmff(b"M4A "),
        bmff(b"crx "),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<?xml version='1.0'?><svg/>",
        b"<!DOCTYPE html><title>x</title>",
        b'{"code":40077,"msg":"Entity not exist"}',
        b"%PDF-1.7",
        b"II*\0\x08\0\0\0",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"\xef\xbf\xbdPNG\r\n\x1a\n",
        b" " + png(),
        bytes(200),
    ],
)
def test_bytes_of_no_known_type_are_no_picture(body: bytes) -> None:
    """Scripts, documents, films, errors, and what is too short to tell."""
    assert media_type(body[:SNIFF_BYTES]) is None


def test_a_brand_beyond_the_box_does_not_count() -> None:
    assert media_type(box(b"ftyp", b"isom" + bytes(4)) + b"avifavif") is None


starts = st.sampled_from([body[:length] for _, body in WHOLE.values() for length in (2, 4, 8, 12, 16, len(body))])


@given(st.one_of(st.binary(max_size=200), st.builds(bytes.__add__, starts, st.binary(max_size=60))))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    """Whatever upstream sends, the answer is a type or none."""
    assert media_type(body[:SNIFF_BYTES]) in {None, *(known for known, _ in WHOLE.values())}
