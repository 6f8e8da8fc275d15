"""Pictures as real encoders write them, one of each kind that the gateway shows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from io import BytesIO

from PIL import Image

from proxy.standin.painting import paint


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Encode an image."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@cache
def pictures() -> Mapping[str, tuple[str, bytes]]:
    """Give media type and bytes of each, by a name."""
    image = Image.open(BytesIO(paint(3, 60, 40))).convert("RGB")
    clear, square, more = image.convert("RGBA"), image.resize((64, 64)), {"save_all": True}
    frames = {**more, "append_images": [image.rotate(90), image.rotate(180)]}
    return {
        "png": ("image/png", saved(image, "PNG")),
        "png, animated": ("image/png", saved(image, "PNG", **frames)),
        "jpeg": ("image/jpeg", saved(image, "JPEG")),
        "jpeg, progressive": ("image/jpeg", saved(image, "JPEG", progressive=True)),
        "jpeg, restarts": ("image/jpeg", saved(image, "JPEG", restart_marker_rows=1)),
        "jpeg, preview": ("image/jpeg", saved(image, "JPEG", exif=b"Exif\0\0" + saved(image.resize((9, 6)), "JPEG"))),
        "gif": ("image/gif", saved(image, "GIF")),
        "gif, animated": ("image/gif", saved(image, "GIF", comment=b";" * 20, **frames)),
        "webp": ("image/webp", saved(image, "WEBP")),
        "webp, lossless": ("image/webp", saved(image, "WEBP", lossless=True)),
        "webp, alpha": ("image/webp", saved(clear, "WEBP", exif=b"Exif\0\0MM\0*")),
        "webp, animated": ("image/webp", saved(image, "WEBP", **frames)),
        "bmp": ("image/bmp", saved(image, "BMP")),
        "ico, png": ("image/x-icon", saved(square, "ICO")),
        "ico, bmp": ("image/x-icon", saved(square, "ICO", bitmap_format="bmp")),
        "avif": ("image/avif", saved(image, "AVIF")),
        "avif, alpha": ("image/avif", saved(clear, "AVIF")),
        "avif, animated": ("image/avif", saved(image, "AVIF", **frames)),
    }
