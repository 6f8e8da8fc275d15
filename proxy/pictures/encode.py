"""Encodes one variant of a picture with Pillow. Runs in an encoder process alone, which may die without harm."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

from PIL import ExifTags, Image, ImageCms, ImageOps

from proxy.domain.picture_info import Look
from proxy.domain.variant import Fit, Variant
from proxy.pictures.thumb_hash import average, thumb_hash

DECODED = {"PNG": "PNG", "JPEG": "JPEG", "WEBP": "WEBP", "AVIF": "AVIF", "GIF": "PNG", "BMP": "PNG"}
"""Formats that are decoded, by Pillow's names, each with the one that is encoded where the visitor names none.

A picture in any other format stays as it is."""
_JPEG_QUALITY = 85
HASHED_SIDE = 48
"""A ThumbHash is made of so many pixels at most on each side: it keeps seven waves of them."""
_TURNED = (5, 6, 7, 8)
"""Orientations by which width and height change places (Exif 2.32, 4.6.4)."""
_WIDE_MODES = ("I", "F")
_SRGB = ImageCms.createProfile("sRGB")


class NotEncodable(Exception):
    """The picture is shown as it came: it is animated, too large, or of a kind that is not decoded."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How variants are encoded."""

    webp_quality: int = 76
    webp_effort: int = 2
    avif_quality: int = 62
    avif_speed: int = 8


def encode(body: bytes, variant: Variant, quality: Quality, max_pixels: int) -> bytes:
    """Return the picture as this variant; raise NotEncodable, or any error of Pillow's, where it cannot be one.

    The look is kept: orientation (EXIF), colours (converted to sRGB) and transparency. Metadata is dropped.
    """
    with _opened(body, max_pixels) as image:
        if getattr(image, "is_animated", False):
            raise NotEncodable("animated")
        kind = variant.format.upper() if variant.format is not None else DECODED[image.format or "PNG"]
        _draft(image, variant)
        upright = ImageOps.exif_transpose(image)
        return _saved(_resized(_in_srgb(upright), variant), kind, quality)


def look(body: bytes, max_pixels: int) -> Look:
    """Return how the picture looks; of an animation the first frame. Raises as `encode` does."""
    with _opened(body, max_pixels) as image:
        is_turned = image.getexif().get(ExifTags.Base.Orientation) in _TURNED
        width, height = reversed(image.size) if is_turned else image.size
        if image.format == "JPEG":
            image.draft(None, (2 * HASHED_SIDE, 2 * HASHED_SIDE))
        small = _in_srgb(ImageOps.exif_transpose(image)).convert("RGBA")
    small.thumbnail((HASHED_SIDE, HASHED_SIDE), Image.Resampling.BOX)
    raw = small.tobytes()
    pixels = list(zip(raw[0::4], raw[1::4], raw[2::4], raw[3::4], strict=True))
    red, green, blue = (round(255 * each) for each in average(pixels))
    return Look(width, height, thumb_hash(*small.size, pixels), f"#{red:02x}{green:02x}{blue:02x}")


def _opened(body: bytes, max_pixels: int) -> Image.Image:
    image = Image.open(BytesIO(body), formats=tuple(DECODED))
    if image.width * image.height > max_pixels:
        raise NotEncodable("too many pixels")
    return image


def _draft(image: Image.Image, variant: Variant) -> None:
    """Let JPEG decode at a smaller scale where that is enough."""
    if variant.width and variant.height and variant.fit is Fit.INSIDE:
        longest = 2 * max(variant.width, variant.height)
        image.draft(None, (longest, longest))


def _in_srgb(image: Image.Image) -> Image.Image:
    """Convert to 8-bit RGB, with transparency where there is any, in the sRGB colour space."""
    has_alpha = image.has_transparency_data
    profile = image.info.get("icc_profile")
    if image.mode.startswith(_WIDE_MODES):
        image = image.convert("I").point(lambda level: level / 256).convert("L")
    mode = "RGBA" if has_alpha else "RGB"
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image if image.mode == mode else image.convert(mode)
    return _converted(image, profile, mode)


def _converted(image: Image.Image, profile: bytes, mode: str) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        shown = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB" if image.mode != "RGBA" else "RGBA")
    except (ImageCms.PyCMSError, OSError):  # a broken profile counts for nothing, as in browsers
        shown = None
    return (shown or image).convert(mode)


def _resized(image: Image.Image, variant: Variant) -> Image.Image:
    """Scale down, never up."""
    if not variant.is_resized:
        return image
    width, height = variant.width or image.width, variant.height or image.height
    if variant.fit is Fit.COVER:
        scale = max(width / image.width, height / image.height, 1.0)
        return ImageOps.fit(image, (round(width / scale), round(height / scale)), Image.Resampling.LANCZOS)
    scale = min(width / image.width, height / image.height, 1.0)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _saved(image: Image.Image, kind: str, quality: Quality) -> bytes:
    """Write the pixels alone: no EXIF, no profile, no text."""
    image.info.clear()
    out = BytesIO()
    match kind:
        case "WEBP":
            image.save(out, kind, quality=quality.webp_quality, method=quality.webp_effort)
        case "AVIF":
            image.save(out, kind, quality=quality.avif_quality, speed=quality.avif_speed, max_threads=1)
        case "JPEG":
            image.save(out, kind, quality=_JPEG_QUALITY)
        case _:
            image.save(out, kind, optimize=False)
    return out.getvalue()
