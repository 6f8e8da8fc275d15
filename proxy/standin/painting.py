"""Landscapes for thumbnails: one seed, one PNG. Painted in whole rows, because pixel by pixel is too slow."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import sin, sqrt, tau
from random import Random
from typing import TypeAlias

Colour: TypeAlias = tuple[int, int, int]

GRAINS = 8
"""Shades of film grain; a pixel's code is `region * GRAINS + grain`."""
RINGS = 22
"""Rings of light around the sun, region 1 (outermost) to RINGS; region 0 is plain sky, RINGS + 1 the sun itself."""
SUN = RINGS + 1
STAR = SUN + 1
RIDGES = 5
"""Layers of mountains, regions STAR + 1 (farthest) to STAR + RIDGES (the forest in front)."""
REGIONS = STAR + RIDGES + 1


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one hour and weather."""

    zenith: Colour
    horizon: Colour
    sun: Colour
    far: Colour
    near: Colour
    stars: int = 0


PALETTES = (
    Palette((38, 64, 122), (248, 178, 130), (255, 236, 196), (172, 132, 150), (28, 26, 48)),
    Palette((64, 132, 206), (206, 228, 240), (255, 252, 232), (140, 170, 196), (22, 54, 52)),
    Palette((46, 26, 78), (242, 108, 92), (255, 214, 150), (150, 76, 112), (24, 12, 34)),
    Palette((8, 14, 40), (52, 74, 122), (240, 240, 226), (46, 60, 102), (4, 8, 20), 90),
    Palette((112, 158, 190), (250, 232, 204), (255, 250, 226), (180, 176, 172), (64, 52, 44)),
    Palette((28, 74, 92), (250, 206, 138), (255, 240, 200), (124, 148, 140), (14, 36, 38)),
    Palette((86, 72, 130), (252, 196, 190), (255, 240, 230), (170, 140, 176), (44, 34, 66)),
    Palette((14, 34, 58), (120, 168, 176), (236, 244, 240), (82, 122, 138), (8, 22, 32), 30),
)


@lru_cache(maxsize=512)
def paint(seed: int, width: int = 400, height: int = 300) -> bytes:
    """Paint a PNG of a landscape, a different one per seed; about 110 kB at 400 x 300, in some 30 ms."""
    random = Random(f"landscape {seed}")  # noqa: S311 - a picture, not a secret
    palette = PALETTES[seed % len(PALETTES)]
    shore = round(height * random.uniform(0.68, 0.8))
    regions = _regions(random, width, shore, palette.stars)
    rows = [_row(codes, _shades(palette, y / shore, 0.0)) for y, codes in enumerate(_grainy(random, regions, width))]
    mirrored = _mirror(random, regions, height - shore)
    grainy = _grainy(random, mirrored, width)
    rows += [_row(codes, _shades(palette, 1 - y / shore, 0.35 + 0.3 * y / shore)) for y, codes in enumerate(grainy)]
    return _png(width, height, b"".join(rows))


def _regions(random: Random, width: int, shore: int, stars: int) -> list[bytes]:
    """Lay out rows from zenith to shore, a region per pixel: columns are cheap to fill, rows to colour."""
    sky = _sky(random, width, shore)
    for _ in range(stars):
        sky[random.randrange(width)][random.randrange(shore // 2)] = STAR
    skyline = [_ridge(random, width, shore, layer) for layer in range(RIDGES)]
    columns = []
    for x in range(width):
        column = sky[x]
        for layer, ridge in enumerate(skyline):
            top = ridge[x]
            column[top:] = bytes((STAR + 1 + layer,)) * (shore - top)
        columns.append(bytes(column))
    flat = b"".join(columns)
    return [flat[y::shore] for y in range(shore)]


def _sky(random: Random, width: int, shore: int) -> list[bytearray]:
    """Fill columns of sky with the sun's disc and the rings of its light."""
    centre_x, centre_y = width * random.uniform(0.2, 0.8), shore * random.uniform(0.18, 0.5)
    disc = shore * random.uniform(0.05, 0.09)
    radii = [disc * (1 + 0.22 * (RINGS + 1 - ring)) ** 1.2 for ring in range(1, RINGS + 1)] + [disc]
    columns = []
    for x in range(width):
        column = bytearray(shore)
        for ring, radius in enumerate(radii, 1):
            reach = radius * radius - (x - centre_x) ** 2
            if reach > 0:
                half = sqrt(reach)
                top, bottom = max(0, round(centre_y - half)), min(shore, round(centre_y + half))
                column[top:bottom] = bytes((ring,)) * (bottom - top)
        columns.append(column)
    return columns


def _ridge(random: Random, width: int, shore: int, layer: int) -> list[int]:
    """Find the first row of a layer per column: long waves, rough edges, and firs on the nearest."""
    near = layer / (RIDGES - 1)
    level, swing = shore * (0.5 + 0.42 * near), shore * (0.2 - 0.13 * near)
    waves = [(random.uniform(0.7, 1.6) * 2**octave, random.uniform(0, tau), 0.55**octave) for octave in range(4)]
    rough = list(accumulate((random.uniform(-1, 1) for _ in range(width)), lambda drift, step: 0.9 * drift + step))
    tops = []
    for x in range(width):
        lift = sum(weight * sin(tau * pitch * x / width + phase) for pitch, phase, weight in waves)
        tops.append(level - swing * lift * 0.6 - rough[x] * (1.6 - near))
    if layer == RIDGES - 1:
        _plant(random, tops, shore)
    return [min(shore, max(0, round(top))) for top in tops]


def _plant(random: Random, tops: list[float], shore: int) -> None:
    """Put firs along a ridge, in clumps."""
    ground, x = list(tops), 0.0
    while x < len(tops):
        tall = shore * random.uniform(0.04, 0.13)
        wide = tall * 0.34
        foot = ground[int(x)]
        for column in range(max(0, round(x - wide)), min(len(tops), round(x + wide) + 1)):
            taper = 1 - abs(column - x) / (wide + 0.5)
            tops[column] = min(tops[column], foot - tall * taper)
        x += wide * random.choice((0.7, 1.1, 1.8, 6.0))


def _mirror(random: Random, regions: list[bytes], depth: int) -> list[bytes]:
    """Turn the rows above the shore upside down, drifting sideways with the ripples of the water."""
    pitch, phase = random.uniform(0.5, 0.9), random.uniform(0, tau)
    rows = []
    for y in range(depth):
        source = regions[max(0, len(regions) - 1 - round(y * 1.6))]
        drift = round((1 + y * 0.09) * sin(y * pitch + phase)) % len(source)
        rows.append(source[drift:] + source[:drift])
    return rows


def _grainy(random: Random, regions: list[bytes], width: int) -> list[bytes]:
    """Give every pixel its grain: one addition of two very long numbers makes regions into codes."""
    count = len(regions) * width
    grain = random.randbytes(count).translate(_GRAIN)
    scaled = b"".join(regions).translate(_SCALED)
    codes = (int.from_bytes(scaled, "big") + int.from_bytes(grain, "big")).to_bytes(count, "big")
    return [codes[start : start + width] for start in range(0, count, width)]


_GRAIN = b"".join(bytes((grain,)) * count for grain, count in enumerate((2, 14, 42, 70, 70, 42, 14, 2)))
_SCALED = bytes(min(255, byte * GRAINS) for byte in range(256))


def _rise(region: int) -> tuple[float, float]:
    """Say how much of the sun's colour a region of the sky has, and how near (0 to 1) one of the land is."""
    if region < SUN:
        return 0.62 * (region / SUN) ** 2.2, -1.0
    return (1.0, -1.0) if region <= STAR else (0.0, (region - STAR - 1) / (RIDGES - 1))


_RISE = [_rise(region) for region in range(REGIONS)]
_GRAINED = [
    bytes(min(255, max(0, round(shade + 2.0 * (grain - GRAINS / 2)))) for grain in range(GRAINS))
    for shade in range(256)
]


def _shades(palette: Palette, fall: float, depth: float) -> list[bytes]:
    """Make tables from code to red, green, blue for one row; `fall` is 0 at the zenith and 1 at the shore."""
    return [_table(palette, channel, fall, depth) for channel in range(3)]


def _table(palette: Palette, channel: int, fall: float, depth: float) -> bytes:
    zenith, horizon, sun = palette.zenith[channel], palette.horizon[channel], palette.sun[channel]
    far, near, water = palette.far[channel], palette.near[channel], palette.zenith[channel] * 0.7
    air = zenith + (horizon - zenith) * fall**1.3
    shades = []
    for glow, nearness in _RISE:
        if nearness < 0:
            shade = air + (sun - air) * glow
        else:
            land = far + (near - far) * nearness
            shade = land + (horizon - land) * 0.4 * (1 - nearness) * fall
        shades.append(_GRAINED[int(shade + (water - shade) * depth)])
    return b"".join(shades).ljust(256, b"\0")


def _row(codes: bytes, tables: list[bytes]) -> bytes:
    """Colour one row; its first byte says that PNG shall not filter it."""
    row = bytearray(1 + 3 * len(codes))
    for channel, table in enumerate(tables):
        row[1 + channel :: 3] = codes.translate(table)
    return bytes(row)


def _png(width: int, height: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows, 2)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
