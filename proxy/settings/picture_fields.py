"""The kinds of values that settings of `[pictures]` hold."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from proxy.domain.variant import Format
from proxy.settings.fields import NUMBER
from proxy.settings.lists import each_once, texts

MAX_SIZES = 20
"""So many widths and heights may be accepted: each pair of them is a variant of its own."""
MAX_SIDE = 10_000
_MIB = 1024 * 1024
_FORMATS = " and ".join(f'"{each}"' for each in Format)


Quality: TypeAlias = Annotated[int, NUMBER, Field(ge=1, le=100, description="a whole number from 1 to 100")]
WebpEffort: TypeAlias = Annotated[int, NUMBER, Field(ge=0, le=6, description="a whole number from 0 to 6")]
AvifSpeed: TypeAlias = Annotated[int, NUMBER, Field(ge=0, le=10, description="a whole number from 0 to 10")]
EncoderMemory: TypeAlias = Annotated[
    int, NUMBER, Field(ge=256 * _MIB, description="a whole number of bytes from 268435456 (256 MiB)")
]
Side: TypeAlias = Annotated[int, Field(ge=1, le=MAX_SIDE, description=f"a whole number from 1 to {MAX_SIDE}")]
Sizes: TypeAlias = Annotated[
    tuple[Side, ...],
    BeforeValidator(texts),
    AfterValidator(each_once),
    Field(min_length=1, max_length=MAX_SIZES, description=f"a list of 1 to {MAX_SIZES} numbers of pixels"),
]
Formats: TypeAlias = Annotated[
    tuple[Format, ...],
    BeforeValidator(texts),
    AfterValidator(each_once),
    Field(description=f"a list of {_FORMATS}, the preferred one first, or an empty list"),
]
