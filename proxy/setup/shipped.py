"""Finds the files that come with the program: in a wheel below the package, in a work tree where they are kept."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_WHEEL = _PACKAGE / "shipped"
"""Filled by `deploy/build`."""
_TREE = ("config", "deploy/systemd", "deploy/nginx")


def shipped(name: str) -> str:
    """Give the text of a file by its name alone, such as `default.toml`."""
    folders = (_WHEEL, *(_PACKAGE.parent / folder for folder in _TREE))
    return next(folder / name for folder in folders if (folder / name).exists()).read_text(encoding="utf-8")


def work_tree() -> Path | None:
    """Give the root of the work tree that the program runs from; None for an installed package."""
    root = _PACKAGE.parent
    return root if (root / "config" / "default.toml").exists() else None
