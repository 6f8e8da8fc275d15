"""Proof of completeness: nothing that was cut off, wherever, and no PNG that was damaged passes for a whole picture."""

from __future__ import annotations

import zlib
from itertools import pairwise
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.errors import UpstreamError
from proxy.domain.sniff import SNIFF_BYTES, media_type
from proxy.pictures.proof.body import MAX_PARTS, Body
from proxy.pictures.proof.proof import Proof, prove
from tests.harness.pictures import pictures

MANY = 50_000_000
names = st.sampled_from(sorted(pictures()))
wholes = pytest.mark.parametrize("name", sorted(pictures()))


def is_whole(kind: str, data: bytes, max_pixels: int = MANY) -> bool:
    try:
        prove(kind, data, max_pixels)
    except UpstreamError:
        return False
    return True


@wholes
def test_a_whole_picture_is_proven(name: str) -> None:
    """With or without something appended, as cameras and phones do."""
    kind, data = pictures()[name]
    assert media_type(data[:SNIFF_BYTES]) == kind
    prove(kind, data, MANY)
    prove(kind, data + b"\0\0\0\0 appended; nobody minds", MANY)


@wholes
def test_a_picture_without_its_last_byte_is_not(name: str) -> None:
    """A body that arrived in its announced length may have been short already where it was stored."""
    kind, data = pictures()[name]
    assert not is_whole(kind, data[:-1])


@given(names, st.data())
def test_no_beginning_of_a_picture_is_proven(name: str, drawn: st.DataObject) -> None:
    """Wherever it was cut off, whole frames, chunks and boxes among the places."""
    kind, data = pictures()[name]
    assert not is_whole(kind, data[: drawn.draw(st.integers(0, len(data) - 1))])


@given(names, st.data())
def test_a_picture_that_arrives_in_pieces_is_proven_as_one_that_is_all_there(name: str, drawn: st.DataObject) -> None:
    kind, whole = pictures()[name]
    data, body = bytearray(whole), Body()
    if drawn.draw(st.booleans()):
        data[drawn.draw(st.integers(0, len(data) - 1))] ^= 1 << drawn.draw(st.integers(0, 7))
    proof, is_proven = Proof(kind, body, MANY), True
    cuts = sorted(drawn.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    try:
        for start, end in pairwise([0, *cuts, len(data)]):
            body.data += data[start:end]
            proof.advance()
        proof.finish()
    except UpstreamError:
        is_proven = False
    assert is_proven == is_whole(kind, bytes(data))


@given(st.data())
def test_no_damaged_png_is_proven(drawn: st.DataObject) -> None:
    kind, data = pictures()["png"]
    damaged = bytearray(data)
    damaged[drawn.draw(st.integers(8, len(data) - 1))] ^= 1 << drawn.draw(st.integers(0, 7))
    assert not is_whole(kind, bytes(damaged))


@given(names, st.integers(0, 300), st.binary(max_size=100))
def test_no_bytes_make_it_fail(name: str, kept: int, more: bytes) -> None:
    kind, data = pictures()[name]
    assert is_whole(kind, data[:kept] + more) in {True, False}


@wholes
def test_the_bound_on_pixels_is_read_from_the_header(name: str) -> None:
    kind, data = pictures()[name]
    pixels = 64 * 64 if kind == "image/x-icon" else 60 * 40
    assert is_whole(kind, data, pixels)
    with pytest.raises(UpstreamError, match="pixels"):
        prove(kind, data, pixels - 1)


def test_a_png_of_very_many_pixels_is_refused_by_its_header_alone() -> None:
    """Before anything else of it has come."""
    header = b"IHDR" + pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = Body()
    body.data += b"\x89PNG\r\n\x1a\n" + pack(">I", 13) + header + pack(">I", zlib.crc32(header))
    proof = Proof("image/png", body, MANY)
    with pytest.raises(UpstreamError, match="pixels"):
        proof.advance()


def segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + pack(">H", len(data) + 2) + data


def box(kind: bytes, data: bytes) -> bytes:
    return pack(">I", len(data) + 8) + kind + data


def riff(*chunks: bytes) -> bytes:
    """Build a RIFF file that calls itself WebP."""
    data = b"WEBP" + b"".join(chunks)
    return b"RIFF" + pack("<I", len(data)) + data


GIF_HEAD = b"GIF89a" + pack("<HHBBB", 1, 1, 0, 0, 0)
FRAME = segment(0xC0, bytes([8, 0, 1, 0, 1, 1, 1, 17, 0]))
BMP_HEAD = b"BM" + pack("<IIIIiiHHI", 0, 0, 54, 40, 1, 1, 1, 24, 0) + bytes(20)


def heif(*, at: int, length: int, method: int = 0) -> bytes:
    """Build a HEIF file of one item with one extent; its bytes begin at 104."""
    size = box(b"iprp", box(b"ipco", box(b"ispe", pack(">III", 0, 1, 1))))
    place = box(b"iloc", pack(">BBHHHHHHHII", 1, 0, 0, 0x4400, 1, 1, method, 0, 1, at, length))
    return box(b"ftyp", b"heic" + bytes(4)) + box(b"meta", bytes(4) + size + place) + box(b"mdat", bytes(9))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image/jpeg", b"\xff\xd8" + FRAME + b"\xff" + segment(0xDA, bytes(6)) + b"\x12\xff\0\xff\xd0\x34\xff\xd9"),
        ("image/gif", GIF_HEAD + b"," + pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\1\x44\0;"),
        ("image/bmp", BMP_HEAD + bytes(4)),
        ("image/heic", heif(at=104, length=9)),
    ],
)
def test_the_smallest_of_a_kind_is_proven(kind: str, data: bytes) -> None:
    """So that the damaged ones below fail for their damage."""
    prove(kind, data, MANY)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82"),
        ("image/jpeg", b"\xff\xd8\xff\xe0 not a picture"),
        ("image/jpeg", b"\xff\xd8" + FRAME + b"\xff\xd9"),
        ("image/jpeg", b"\xff\xd8" + segment(0xDA, bytes(6)) + b"\x12\x34\xff\xd9"),
        ("image/jpeg", b"\xff\xd8\xff\xc0\0\x02\xff\xd9"),
        ("image/gif", GIF_HEAD + b";"),
        ("image/gif", GIF_HEAD + b"," + pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\1\x44\0"),
        ("image/gif", GIF_HEAD + b"\0;"),
        ("image/webp", riff()),
        ("image/webp", riff(b"VP8X" + pack("<I", 10) + bytes(10))),
        ("image/webp", riff(b"VP8L" + pack("<I", 100) + b"\x2f" + bytes(9))),
        ("image/webp", riff(b"VP8 " + pack("<I", 10) + b"\0\xff\0\x9d\x01\x2a\1\0\1\0")),
        ("image/bmp", BMP_HEAD + bytes(3)),
        ("image/bmp", b"BM\xff\0"),
        ("image/x-icon", b"\0\0\1\0\1\0" + bytes(30)),
        ("image/heic", heif(at=104, length=900)),
        ("image/heic", heif(at=0, length=1, method=1)),
        ("image/heic", box(b"ftyp", b"heic" + bytes(4)) + box(b"mdat", bytes(9))),
        *((kind, b"") for kind in ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/avif")),
    ],
)
def test_a_picture_that_only_looks_complete_is_refused(kind: str, data: bytes) -> None:
    assert not is_whole(kind, data)


@pytest.mark.parametrize(
    ("kind", "start", "part"),
    [
        ("image/gif", GIF_HEAD + b"!\xfe", b"\1\1"),
        ("image/jpeg", b"\xff\xd8", segment(0xE0, b"")),
        ("image/jpeg", b"\xff\xd8", b"\xff"),
        ("image/avif", b"", box(b"free", b"")),
        ("image/avif", b"", box(b"meta", bytes(4) + box(b"free", b"") * MAX_PARTS)),
        ("image/webp", riff()[:4] + b"\xff\xff\xff\x7fWEBP", b"none\0\0\0\0"),
    ],
)
def test_a_body_of_very_many_parts_is_refused(kind: str, start: bytes, part: bytes) -> None:
    """Else one hostile picture would keep everybody waiting."""
    with pytest.raises(UpstreamError, match="too many parts"):
        prove(kind, start + part * (MAX_PARTS + 1 if len(part) < 100 else 1), MANY)
