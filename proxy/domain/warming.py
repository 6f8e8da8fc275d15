"""Warming as operators and processes speak of it: the order, and how far it has come."""

from __future__ import annotations

import msgspec


class WarmOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A folder whose thumbnails are to be kept."""

    uri: str
    """The File URI of a folder."""
    recursive: bool = False
    """The folders in it as well."""
    account: str = ""
    """The e-mail address or number of the `[[publish]]` as which to look; empty for the public."""


class WarmReply(msgspec.Struct, frozen=True):
    """The reply of a process to an order."""

    problem: str = ""
    """Why it has not begun; empty when it has."""
    is_busy: bool = False
    """Whether that ends by itself."""


class WarmState(msgspec.Struct, frozen=True):
    """How far the last order has come; numbers of files."""

    is_over: bool = False
    found: int = 0
    kept: int = 0
    without: int = 0
    """Those that have no thumbnail."""
    failed: int = 0
    problem: str = ""
    """Why not all of the folder could be listed, or the reason that most of the failed ones have."""
