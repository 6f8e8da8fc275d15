"""Forty photographs of 4:3: sections of those that scikit-image ships, all of them free (its data/README.txt)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path
from random import Random

from PIL import Image

NAMES = (
    "astronaut",
    "chelsea",
    "coffee",
    "motorcycle_left",
    "rocket",
    "hubble_deep_field",
    "motorcycle_right",
    "retina",
)
"""Its photographs in colour."""
COUNT = 40
SMALLEST = (400, 300)
_QUALITY = 92


def photographs(count: int = COUNT) -> list[bytes]:
    """Give JPEG files, each of a section of its own, and never smaller than a thumbnail."""
    chance = Random("photographs")  # noqa: S311 - which section is no secret
    return [_written(_section(image, chance)) for image in islice(cycle(_images()), count)]


def _images() -> Iterator[Image.Image]:
    """Read them where they lie in the package; nothing is downloaded."""
    folder = files("skimage.data")
    found = {Path(each.name).stem: each for each in folder.iterdir()}
    for name in NAMES:
        yield Image.open(BytesIO(found[name].read_bytes())).convert("RGB")


def _section(image: Image.Image, chance: Random) -> Image.Image:
    """Cut a part out, half of the times mirrored."""
    largest = min(image.width / 4, image.height / 3)
    unit = chance.uniform(max(SMALLEST[0] / 4, largest * 0.6), largest) if largest > SMALLEST[0] / 4 else largest
    width, height = int(4 * unit), int(3 * unit)
    left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
    section = image.crop((left, top, left + width, top + height))
    return section.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 1 / 2 else section


def _written(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
