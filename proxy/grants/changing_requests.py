"""Which requests to Cloudreve's API may change what a File URI shows."""

from __future__ import annotations

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FILES = "/api/v4/file"
_UPLOADED = "/api/v4/callback/"
"""Here the page says, with a GET for some kinds of storage, that it has sent a file to storage itself
(docs/cloudreve.md, Changes)."""
_REDACTED = tuple(f"{_FILES}/{name}" for name in ("url", "pin", "lock", "viewerSession", "wopi"))
"""They change no picture, or are called by office servers, which have no token (docs/cloudreve.md, Changes)."""


def changes_files(method: str, path: str) -> bool:
    """Tell whether a request may give a File URI another file, or a file other bytes; `path` is without its query."""
    if path.startswith(_UPLOADED):
        return True
    if method in _SAFE or path.startswith(_REDACTED):
        return False
    return path == _FILES or path.startswith(_FILES + "/")
