"""Variants keep the look of a picture, and nothing else of it."""

from __future__ import annotations

import struct

import pytest
from PIL import Image, ImageChops, ImageCms, ImageStat

from proxy.domain.variant import Fit, Format, Variant
from proxy.pictures.encode import NotEncodable, Quality, encode, look
from tests.pictures.photographs import opened, photograph, saved

MAX_PIXELS = 1_000_000
ORIENTATION, GPS_IFD = 0x0112, 0x8825
SECRET = b"Home address 47N 8E"


def encoded(body: bytes, variant: Variant) -> Image.Image:
    return opened(encode(body, variant, Quality(), MAX_PIXELS))


def difference(one: Image.Image, other: Image.Image) -> float:
    """Give the mean difference of two images' levels, 0 to 255."""
    means = ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean
    return sum(means) / len(means)


@pytest.mark.parametrize("format_", list(Format))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_a_variant_looks_like_its_original(kind: str, format_: Format) -> None:
    """In the format that was asked for, of the same size."""
    original = photograph()
    body = saved(original, kind)
    variant = encoded(body, Variant(format_))
    assert (variant.format, variant.size) == (format_.upper(), original.size)
    assert difference(opened(body), variant) < (8 if kind == "GIF" else 4)  # dithering is smoothed


@pytest.mark.parametrize("format_", list(Format))
def test_a_photograph_is_a_tenth_of_its_png(format_: Format) -> None:
    body = saved(Image.effect_noise((400, 300), 20).convert("RGB"), "PNG")
    assert len(encode(body, Variant(format_), Quality(), MAX_PIXELS)) < len(body) / 2


@pytest.mark.parametrize("format_", list(Format))
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_kept(mode: str, format_: Format) -> None:
    image = photograph(mode="RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 200, 300))
    body = saved(image.convert(mode), "PNG")
    variant = encoded(body, Variant(format_)).convert("RGBA")
    assert [variant.getpixel((x, 150))[3] for x in (50, 350)] == [0, 255]  # type: ignore[index]


@pytest.mark.parametrize("format_", [None, *Format])
def test_orientation_is_applied(format_: Format | None) -> None:
    """A phone's picture stands upright, whatever the variant."""
    image = photograph(400, 200)
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned by 90 degrees
    variant = encoded(saved(image, "JPEG", exif=exif), Variant(format_, width=100))
    assert variant.size == (100, 200)
    assert difference(image.transpose(Image.Transpose.ROTATE_270).resize((100, 200)), variant) < 6


@pytest.mark.parametrize("variant", [Variant(each, width=w) for each in (None, *Format) for w in (0, 100) if each or w])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_no_metadata_leaves(kind: str, variant: Variant) -> None:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif.get_ifd(GPS_IFD)[1] = "N"
    options = {"exif": exif, "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    body = saved(photograph(), kind, **options)
    assert SECRET in body
    result = encode(body, variant, Quality(), MAX_PIXELS)
    assert SECRET not in result
    assert not opened(result).getexif()
    assert "icc_profile" not in opened(result).info


def test_colours_of_another_profile_are_converted_to_srgb() -> None:
    """A profile that swaps red and green shows whether it is looked at: Lab as a stand-in for wide gamuts."""
    image = Image.new("CMYK", (40, 30), (0, 255, 255, 0))
    variant = encoded(saved(image, "JPEG"), Variant(Format.WEBP))
    red, green, blue = variant.convert("RGB").getpixel((20, 15))  # type: ignore[misc]
    assert (red > 150, green < 100, blue < 100) == (True, True, True)


def test_a_broken_profile_counts_for_nothing() -> None:
    body = saved(photograph(), "PNG", icc_profile=b"no profile at all")
    assert difference(photograph(), encoded(body, Variant(Format.WEBP))) < 4


def test_sixteen_bits_become_eight() -> None:
    image = Image.new("I;16", (40, 30), 0xC000)
    grey = encoded(saved(image, "PNG"), Variant(Format.WEBP)).convert("L").getpixel((20, 15))
    assert abs(int(grey) - 0xC0) < 4  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variant", "size"),
    [
        (Variant(Format.WEBP, width=100), (100, 75)),
        (Variant(Format.WEBP, height=75), (100, 75)),
        (Variant(Format.WEBP, width=100, height=100), (100, 75)),
        (Variant(Format.WEBP, width=100, height=100, fit=Fit.COVER), (100, 100)),
        (Variant(Format.WEBP, width=1200), (400, 300)),
        (Variant(Format.WEBP, width=1200, height=100), (133, 100)),
        (Variant(Format.WEBP, width=600, height=600, fit=Fit.COVER), (300, 300)),
        (Variant(Format.WEBP, width=1200, height=600, fit=Fit.COVER), (400, 200)),
    ],
)
def test_a_size_is_never_larger_than_the_original(variant: Variant, size: tuple[int, int]) -> None:
    """With its aspect ratio (inside), or that of the size (cover)."""
    assert encoded(saved(photograph(), "PNG"), variant).size == size


@pytest.mark.parametrize(("kind", "same"), [("PNG", "PNG"), ("JPEG", "JPEG"), ("WEBP", "WEBP"), ("GIF", "PNG")])
def test_a_size_alone_keeps_the_format(kind: str, same: str) -> None:
    """For clients that name no format; a GIF becomes a PNG, which everybody can show."""
    assert encoded(saved(photograph(), kind), Variant(width=100)).format == same


def test_an_animation_stays_as_it_is() -> None:
    """A still of it would be another picture."""
    frames = [photograph(seed=seed) for seed in (2, 3)]
    body = saved(photograph(), "GIF", save_all=True, append_images=frames)
    with pytest.raises(NotEncodable):
        encode(body, Variant(Format.WEBP), Quality(), MAX_PIXELS)


def test_a_decompression_bomb_is_not_decoded() -> None:
    body = bytearray(saved(Image.new("L", (10, 10)), "PNG"))
    body[16:24] = struct.pack(">II", 60_000, 60_000)
    with pytest.raises(Exception):  # noqa: B017, PT011 - Pillow has an error of its own for a wrong checksum
        encode(bytes(body), Variant(Format.WEBP), Quality(), MAX_PIXELS)
    with pytest.raises(NotEncodable, match="pixels"):
        encode(saved(Image.new("L", (2000, 2000)), "PNG"), Variant(Format.WEBP), Quality(), MAX_PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "AVIF"])
def test_a_look_tells_size_and_colour(kind: str) -> None:
    """Of each kind that is decoded, and of an animation's first frame."""
    found = look(saved(Image.new("RGB", (400, 200), (200, 100, 50)), kind), MAX_PIXELS)
    assert (found.width, found.height, found.is_sound) == (400, 200, True)
    colour = bytes.fromhex(found.average_colour.removeprefix("#"))
    assert max(abs(one - other) for one, other in zip(colour, (200, 100, 50), strict=True)) < 6
    frames = saved(photograph(), kind, save_all=True, append_images=[photograph(seed=2)]) if kind == "GIF" else b""
    assert not frames or look(frames, MAX_PIXELS).width == 400


def test_a_look_is_upright_and_in_srgb() -> None:
    """As the variants are: both look alike."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    body = saved(photograph(400, 200), "JPEG", exif=exif)
    turned = look(body, MAX_PIXELS)
    encoded_look = look(encode(body, Variant(Format.WEBP), Quality(), MAX_PIXELS), MAX_PIXELS)
    assert (turned.width, turned.height) == (encoded_look.width, encoded_look.height) == (200, 400)
    one, other = (bytes.fromhex(each.average_colour[1:]) for each in (turned, encoded_look))
    assert max(abs(a - b) for a, b in zip(one, other, strict=True)) < 4


def test_a_look_of_too_many_pixels_is_not_taken() -> None:
    with pytest.raises(NotEncodable, match="pixels"):
        look(saved(Image.new("L", (2000, 2000)), "PNG"), MAX_PIXELS)
