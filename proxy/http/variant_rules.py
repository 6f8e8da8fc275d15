"""Which variant a request may have: the format by `Accept`, the size by `w`, `h` and `fit`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from proxy.domain.errors import BadRequest
from proxy.domain.variant import ORIGINAL, Fit, Format, Variant


def negotiated(accept: Sequence[str], formats: Sequence[Format]) -> Format | None:
    """Choose the first of `formats` that the lines of `Accept` name; None keeps the original's format.

    A client accepts a format only where it names the media type itself with a weight above 0 (RFC 9110 §12.5.1):
    clients that say `*/*` or `image/*` may be unable to show it.
    """
    named = {media_type for line in accept for media_type, weight in _ranges(line) if weight > 0}
    return next((each for each in formats if each.media_type in named), None)


def _ranges(line: str) -> list[tuple[str, float]]:
    """Read the media ranges of one line, with their weights; one whose weight cannot be read has none."""
    return [_range(part) for part in line.split(",")]


def _range(text: str) -> tuple[str, float]:
    media_type, *parameters = (part.strip().lower() for part in text.split(";"))
    weight = next((part[2:].strip() for part in parameters if part.startswith("q=")), "1")
    try:
        return media_type, float(weight)
    except ValueError:
        return media_type, 0.0


def sized(query: Sequence[tuple[str, str]], steps: Collection[int]) -> Variant:
    """Read `w`, `h` and `fit`; a width or height is rounded up to the next of `steps`.

    Raises BadRequest that names the steps, so that nobody makes variants without end.
    """
    given: dict[str, str] = {}
    for name, value in query:
        if name in ("w", "h", "fit"):
            if name in given:
                raise BadRequest(f"`{name}` is given twice.")
            given[name] = value
    fit = given.get("fit", Fit.INSIDE)
    if fit not in set(Fit):
        raise BadRequest(f"`fit` is unknown; accepted are {' and '.join(Fit)}.")
    width, height = (_step(name, given[name], steps) if name in given else 0 for name in ("w", "h"))
    if fit == Fit.COVER and not (width and height):
        raise BadRequest("`fit=cover` needs both `w` and `h`.")
    return Variant(width=width, height=height, fit=Fit(fit)) if width or height else ORIGINAL


def _step(name: str, text: str, steps: Collection[int]) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(max(steps))) else 0
    step = min((step for step in steps if step >= number), default=0) if number else 0
    if not step:
        accepted = ", ".join(map(str, sorted(steps)))
        raise BadRequest(f"`{name}` is no accepted number of pixels; it is rounded up to one of {accepted}.")
    return step
