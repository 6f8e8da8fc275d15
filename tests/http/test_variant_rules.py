"""Formats by `Accept` and sizes by query: what is accepted, and what a refusal says."""

from __future__ import annotations

import pytest

from proxy.domain.errors import BadRequest
from proxy.domain.variant import ORIGINAL, Fit, Format, Variant
from proxy.http.variant_rules import negotiated, sized

BOTH = (Format.AVIF, Format.WEBP)
STEPS = (100, 400, 1200)
CHROMIUM = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "formats", "chosen"),
    [
        ([CHROMIUM], BOTH, Format.AVIF),
        ([CHROMIUM], (Format.WEBP,), Format.WEBP),
        ([CHROMIUM], (), None),
        (["image/webp"], BOTH, Format.WEBP),
        (["text/html", "image/webp"], BOTH, Format.WEBP),
        (["IMAGE/WebP ; q=0.1"], BOTH, Format.WEBP),
        (["image/webp;q=0, image/avif;q=0.0"], BOTH, None),
        (["image/webp;q=nonsense"], BOTH, None),
        (["*/*"], BOTH, None),
        (["image/*"], BOTH, None),
        (["image/webpx, ximage/webp"], BOTH, None),
        ([""], BOTH, None),
        ([], BOTH, None),
    ],
)
def test_a_format_is_chosen_only_where_the_client_names_it(
    accept: list[str], formats: tuple[Format, ...], chosen: Format | None
) -> None:
    """A range such as `*/*` says nothing of what the client can show; the gateway's order decides between two."""
    assert negotiated(accept, formats) is chosen


@pytest.mark.parametrize(
    ("query", "variant"),
    [
        ([], ORIGINAL),
        ([("uri", "cloudreve://my/a.png")], ORIGINAL),
        ([("w", "400")], Variant(width=400)),
        ([("w", "101")], Variant(width=400)),
        ([("w", "1")], Variant(width=100)),
        ([("h", "1200")], Variant(height=1200)),
        ([("w", "400"), ("h", "90"), ("fit", "cover")], Variant(width=400, height=100, fit=Fit.COVER)),
        ([("fit", "inside")], ORIGINAL),
    ],
)
def test_a_size_is_rounded_up_to_a_step(query: list[tuple[str, str]], variant: Variant) -> None:
    """So that visitors cannot have variants made without end."""
    assert sized(query, STEPS) == variant


@pytest.mark.parametrize("text", ["0", "1201", "-1", "", "4e2", "1.5", "٤٠٠", "9" * 5000, "+400", " 400"])
def test_a_width_beyond_the_steps_is_refused_with_the_steps(text: str) -> None:
    with pytest.raises(BadRequest, match="100, 400, 1200"):
        sized([("w", text)], STEPS)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ([("w", "100"), ("w", "100")], "twice"),
        ([("w", "100"), ("fit", "stretch")], "inside and cover"),
        ([("w", "100"), ("fit", "cover")], "both"),
        ([("fit", "cover")], "both"),
    ],
)
def test_an_ambiguous_size_is_refused(query: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        sized(query, STEPS)


def test_every_variant_has_a_name_of_its_own() -> None:
    variants = [
        Variant(format_, width, height, fit)
        for format_ in (None, *Format)
        for width, height in ((0, 0), (100, 0), (0, 100), (100, 100), (1001, 0))
        for fit in Fit
        if fit is Fit.INSIDE or (width and height)
    ]
    names = [variant.name for variant in variants]
    assert len(set(names)) == len(names)
    assert ORIGINAL.name == ""
