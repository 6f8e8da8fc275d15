"""ThumbHash as the reference implementation computes it."""

from __future__ import annotations

import base64

import pytest

from proxy.domain.picture_info import THUMB_HASH_BYTES
from proxy.pictures.thumb_hash import Rgba, average, thumb_hash

REFERENCE = [
    ((48, 36, False), "HwgCDYAiRXFhVGVClQZEYrmP7m+2"),
    ((36, 48, False), "H/gBDQAQEENmNlMVdBIlc+96jHpv"),
    ((20, 20, False), "XggGHwJCNCQQJhdRdxmGKZdx8u3GSJ8L"),
    ((1, 1, False), "AAgCBwAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ((1, 40, False), "k/sl4QYIh2iYh4h3CIeGOwg="),
    ((48, 20, True), "H/iBCoAXmKcwsWLZX/9zWkcIdXV1lZc="),
    ((20, 48, True), "HwiCCgIHIKdcShX9Z/yEeDJnFoMndHA="),
    ((16, 16, True), "XgiCDQIXagiBtaMrWN5Y70D9YncFd5SLig=="),
]
"""The output of the npm package thumbhash 0.1.1 for these pixels."""


def pixels(width: int, height: int, *, has_alpha: bool) -> list[Rgba]:
    places = [(x, y) for y in range(height) for x in range(width)]
    colours = [((x * 37 + y * 11) % 256, (x * 5 + y * 53) % 256, (x * y * 7) % 256) for x, y in places]
    alphas = [(x * 13 + y * y) % 256 if has_alpha else 255 for x, y in places]
    return [(*colour, alpha) for colour, alpha in zip(colours, alphas, strict=True)]


@pytest.mark.parametrize(("shape", "expected"), REFERENCE)
def test_a_thumb_hash_is_that_of_the_reference(shape: tuple[int, int, bool], expected: str) -> None:
    """For wide, tall, square and tiny images, with and without transparency."""
    width, height, has_alpha = shape
    assert base64.b64encode(thumb_hash(width, height, pixels(width, height, has_alpha=has_alpha))).decode() == expected


@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (48, 1), (1, 48), (48, 48), (48, 32)])
def test_a_thumb_hash_is_never_longer_than_its_bound(width: int, height: int, has_alpha: bool) -> None:
    assert 5 < len(thumb_hash(width, height, pixels(width, height, has_alpha=has_alpha))) <= THUMB_HASH_BYTES


def test_transparent_pixels_have_no_part_in_the_average() -> None:
    assert average([(255, 0, 0, 255), (0, 255, 0, 0)]) == (1.0, 0.0, 0.0)
    assert average([(255, 255, 255, 0)]) == (0.0, 0.0, 0.0)
