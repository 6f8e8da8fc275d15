"""Pictures for tests of encoding, made with Pillow."""

from __future__ import annotations

import random
from io import BytesIO
from typing import Any

from PIL import Image


def photograph(width: int = 400, height: int = 300, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """Make something like a photograph: soft shapes of many colours."""
    noise = Image.frombytes("RGB", (16, 12), random.Random(seed).randbytes(16 * 12 * 3))  # noqa: S311 - no secret
    return noise.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def opened(body: bytes) -> Image.Image:
    image = Image.open(BytesIO(body))
    image.load()
    return image
