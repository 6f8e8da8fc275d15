"""How much smaller the thumbnails of photographs become, and how alike they stay (SSIM)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from statistics import mean, median
from time import perf_counter
from typing import Any

from PIL import Image

from deploy.benchmarks.table import Row
from proxy.domain.variant import Format, Variant
from proxy.pictures.encode import Quality, encode
from proxy.settings import PictureSettings

MEGA = 1_000_000
GOALS_MB = {Format.WEBP: 0.65, Format.AVIF: 0.55}
LIKENESS = 0.93
GALLERY = 40
"""The goals are for so many."""

Ssim = Callable[[bytes, bytes], float]


@dataclass(frozen=True, slots=True)
class Weighed:
    """One format of all thumbnails."""

    format: Format
    size_bytes: int
    encode_s: list[float]
    ssim: list[float]


def weighed(thumbnails: Sequence[bytes], format_: Format, ssim: Ssim) -> Weighed:
    """Encode all thumbnails as the gateway does by default."""
    settings = PictureSettings()
    quality = Quality(settings.webp_quality, settings.webp_effort, settings.avif_quality, settings.avif_speed)
    size_bytes, encode_s, likeness = 0, [], []
    for thumbnail in thumbnails:
        started = perf_counter()
        body = encode(thumbnail, Variant(format_), quality, settings.max_pixels)
        encode_s.append(perf_counter() - started)
        size_bytes += len(body)
        likeness.append(ssim(thumbnail, body))
    return Weighed(format_, size_bytes, encode_s, likeness)


def row(thumbnails: Sequence[bytes], found: Weighed) -> Row:
    """Hold it against the goal."""
    original_mb = sum(map(len, thumbnails)) / MEGA
    size_mb, goal_mb = found.size_bytes / MEGA, GOALS_MB[found.format] * len(thumbnails) / GALLERY
    return Row(
        f"{len(thumbnails)} photographs as {found.format}, {median(found.encode_s) * 1000:.1f} ms each to encode",
        f"{size_mb:.3f} MB, SSIM {mean(found.ssim):.4f} (lowest {min(found.ssim):.4f})",
        f"{original_mb:.2f} MB",
        f"{original_mb / size_mb:.1f} x",
        f"<= {goal_mb:.2f} MB, >= {LIKENESS}",
        size_mb <= goal_mb and mean(found.ssim) >= LIKENESS,
    )


def ssim(one: bytes, other: bytes) -> float:
    """Compare the colours of two pictures, 1 for equal ones (scikit-image, its defaults, mean of the channels)."""
    from skimage.metrics import structural_similarity  # noqa: PLC0415 - for this command alone

    compare: Callable[..., Any] = structural_similarity  # it has no types
    return float(compare(_pixels(one), _pixels(other), channel_axis=2))


def _pixels(body: bytes) -> Any:  # noqa: ANN401 - an array of numpy
    import numpy  # noqa: PLC0415, ICN001 - as above

    return numpy.asarray(Image.open(BytesIO(body)).convert("RGB"))
