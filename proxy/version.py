"""Which version runs."""

from __future__ import annotations

from pathlib import Path

from proxy import __version__

_COMMIT = Path(__file__).with_name("commit.txt")


def commit() -> str:
    """Name the commit that `deploy/build` has built; empty in a work tree."""
    try:
        return _COMMIT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def full_version() -> str:
    """Give the version, and the commit where it is known."""
    return f"{__version__} ({commit()})" if commit() else __version__
