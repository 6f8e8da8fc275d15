"""The meaning of header lines: everything in them that can change an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from proxy.domain.variant import Format
from proxy.fastpath.head import Value

THUMB_TARGET, SEALED_TARGET, API_TARGET = range(3)
"""The places of what lines mean."""


class Circumstances(NamedTuple):
    """The outcomes of the rules that read a request's fields, apart from its credentials."""

    format: Format | None
    """The outcome of the negotiation by `Accept`."""
    page: str | None
    """The origin of another site's page that asks."""
    origin: str | None
    """The asking script's `Origin`."""
    own_origin: str
    """The gateway's origin for comparing."""
    base: str
    """The origin with which URLs begin; empty where it is not known."""
    cookie_name: str | None
    """The name of the session's cookie; None where the request may not use it."""


class Said(NamedTuple):
    """All that counts of header lines."""

    target_kind: int
    """Of which kind of target they are read for. Fields that do not count for it are left out."""
    circumstances: Circumstances
    exact: tuple[Value, ...]
    """The fields that count as received."""
    bearer: Value = None
    cookie: str | None = None
    """The session's cookie, sealed as received."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Meaning:
    """The meaning of header lines. Lines that mean the same share one object, so that comparing it is cheap."""

    said: Said


Meanings = tuple[Meaning | None, Meaning | None, Meaning | None]
"""The meanings of lines for `/thumb`, for sealed URLs and for the API; None where the request goes the long way."""


UNUSUAL: Meanings = (None, None, None)
"""Of lines that are unusual in any way."""
