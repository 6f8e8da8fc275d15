"""Which requests to Cloudreve's API may change what a File URI shows."""

from __future__ import annotations

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FILES = "/api/v4/file"
_HARMLESS = tuple(f"{_FILES}/{name}" for name in ("url", "pin", "lock", "metadata", "viewerSession", "wopi"))
"""They read, or write what no picture shows (*source*: routers/router.go of 4.14.0)."""


def changes_files(method: str, path: str) -> bool:
    """Tell whether a request may give a File URI another file, or a file other bytes; `path` is without its query."""
    if method in _SAFE or path.startswith(_HARMLESS):
        return False
    return path == _FILES or path.startswith(_FILES + "/")
