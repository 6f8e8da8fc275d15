"""ThumbHash: a placeholder of 25 bytes at most.

Own code for the published algorithm (https://github.com/evanw/thumbhash, MIT), which the tests hold against hashes of
the reference implementation: the packages for Python have no releases since 2023, or no known users.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from math import cos, floor, pi
from operator import mul
from typing import NamedTuple

Rgba = tuple[int, int, int, int]


class _Channel(NamedTuple):
    """One channel as cosines: the constant, the others as parts of the largest, and the largest."""

    constant: float
    varying: list[float]
    scale: float


def average(pixels: Sequence[Rgba]) -> tuple[float, float, float]:
    """Give the average red, green and blue, 0 to 1, each pixel counting by its alpha."""
    weight = sum(alpha for *_, alpha in pixels)
    red, green, blue = (sum(pixel[each] * pixel[3] for pixel in pixels) for each in range(3))
    return (red / weight / 255, green / weight / 255, blue / weight / 255) if weight else (0.0, 0.0, 0.0)


def thumb_hash(width: int, height: int, pixels: Sequence[Rgba]) -> bytes:
    """Return the hash of an image's pixels, row by row; what it costs grows with their number, its length does not."""
    longest = max(width, height)
    has_alpha = any(alpha < 255 for *_, alpha in pixels)  # noqa: PLR2004 - opaque
    limit = 5 if has_alpha else 7
    across, down = (max(1, _rounded(limit * side / longest)) for side in (width, height))
    light, yellow, red, alpha = _channels(pixels)
    encoded = [
        _encoded(light, width, height, max(3, across), max(3, down)),
        _encoded(yellow, width, height, 3, 3),
        _encoded(red, width, height, 3, 3),
    ]
    if has_alpha:
        encoded.append(_encoded(alpha, width, height, 5, 5))
    count = down if width > height else across
    return _constants(encoded, count, is_landscape=width > height) + _varying(encoded)


def _channels(pixels: Sequence[Rgba]) -> tuple[list[float], ...]:
    """Split into lightness, yellow to blue, red to green, and alpha; transparent parts have the average colour."""
    mean = average(pixels)
    light, yellow, red, alphas = [], [], [], []
    for *colours, alpha255 in pixels:
        alpha = alpha255 / 255
        r, g, b = (each * (1 - alpha) + alpha / 255 * colour for each, colour in zip(mean, colours, strict=True))
        light.append((r + g + b) / 3)
        yellow.append((r + g) / 2 - b)
        red.append(r - g)
        alphas.append(alpha)
    return light, yellow, red, alphas


def _encoded(channel: list[float], width: int, height: int, across: int, down: int) -> _Channel:
    """Transform (DCT), first each row and then the columns; the corner of the high frequencies is left out."""
    rows = [channel[start : start + width] for start in range(0, width * height, width)]
    columns = [[sum(map(mul, row, _cosines(width, x))) for row in rows] for x in range(across)]
    kept = [(y, x) for y, x in product(range(down), range(across)) if x * down < across * (down - y)]
    constant, *varying = (sum(map(mul, columns[x], _cosines(height, y))) / (width * height) for y, x in kept)
    scale = max((abs(each) for each in varying), default=0.0)
    return _Channel(constant, [0.5 + 0.5 / scale * each for each in varying] if scale else varying, scale)


@cache
def _cosines(length: int, frequency: int) -> tuple[float, ...]:
    return tuple(cos(pi / length * frequency * (at + 0.5)) for at in range(length))


def _constants(encoded: list[_Channel], count: int, *, is_landscape: bool) -> bytes:
    light, yellow, red, *alpha = encoded
    first = (
        _rounded(63 * light.constant)
        | _rounded(31.5 + 31.5 * yellow.constant) << 6
        | _rounded(31.5 + 31.5 * red.constant) << 12
        | _rounded(31 * light.scale) << 18
        | bool(alpha) << 23
    )
    second = count | _rounded(63 * yellow.scale) << 3 | _rounded(63 * red.scale) << 9 | is_landscape << 15
    third = bytes(_rounded(15 * each.constant) | _rounded(15 * each.scale) << 4 for each in alpha)
    return first.to_bytes(3, "little") + second.to_bytes(2, "little") + third


def _varying(encoded: list[_Channel]) -> bytes:
    """Write four bits for each, the first of two in the lower half."""
    halves = [_rounded(15 * each) for channel in encoded for each in channel.varying]
    pairs = zip(halves[::2], [*halves[1::2], 0][: (len(halves) + 1) // 2], strict=True)
    return bytes(low | high << 4 for low, high in pairs)


def _rounded(number: float) -> int:
    """Round halves up, as the reference does."""
    return floor(number + 0.5)
