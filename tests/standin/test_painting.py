"""Landscapes: deterministic, distinct, of a thumbnail's size and weight."""

from __future__ import annotations

import struct
import zlib

import pytest

from proxy.standin.painting import PALETTES, paint


def _rows(png: bytes) -> tuple[int, int, bytes]:
    """Decode a PNG of ours: dimensions, and rows with their filter bytes."""
    width, height = struct.unpack(">II", png[16:24])
    size = struct.unpack(">I", png[33:37])[0]
    return width, height, zlib.decompress(png[41 : 41 + size])


@pytest.mark.parametrize("seed", range(len(PALETTES)))
def test_a_landscape_is_a_complete_png_of_a_photograph_s_weight(seed: int) -> None:
    """Every palette gives 400 x 300 pixels in 60 to 130 kB."""
    picture = paint(seed)

    width, height, rows = _rows(picture)
    assert (width, height, len(rows)) == (400, 300, 300 * (1 + 3 * 400))
    assert picture.endswith(b"IEND\xaeB`\x82")
    assert 60_000 < len(picture) < 130_000


def test_a_seed_always_paints_the_same() -> None:
    """The same bytes again, even when nothing is remembered; other bytes for another seed."""
    first = paint(7, 40, 30)
    paint.cache_clear()

    assert paint(7, 40, 30) == first
    assert paint(8, 40, 30) != first


def test_small_landscapes_can_be_painted() -> None:
    assert _rows(paint(3, 16, 12))[:2] == (16, 12)
