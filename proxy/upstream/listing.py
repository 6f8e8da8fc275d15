"""Reads Cloudreve's listing of a folder, one page (docs/cloudreve.md, Listing)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from proxy.upstream.answers import read_data

PAGE_SIZE = 500
"""Files a page; Cloudreve's limit is 2,000, ours that of an answer's bytes."""

_FOLDER = 1
_NO_THUMBNAIL = "thumb:disabled"


class Entry(NamedTuple):
    """One thing in a folder."""

    name: str
    is_folder: bool
    has_thumbnail: bool
    """False where Cloudreve has found out that there can be none."""


class Page(NamedTuple):
    """A page of a folder's files and folders."""

    entries: tuple[Entry, ...]
    next_token: str
    """Asks for the next page; empty behind the last."""
    hint: str
    """Makes the next page of the same folder cheaper (`X-Cr-Context-Hint`)."""


class _File(msgspec.Struct):
    type: int
    name: str
    metadata: dict[str, str] | None = None


class _Pagination(msgspec.Struct):
    next_token: str = ""


class _Listing(msgspec.Struct):
    files: list[_File] | None = None
    pagination: _Pagination = msgspec.field(default_factory=_Pagination)
    context_hint: str = ""


def read_page(body: bytes) -> Page:
    """Read a page; raise Refused where Cloudreve shows none, UpstreamError for another shape."""
    listing = read_data(body, _Listing)
    entries = (_entry(file) for file in listing.files or ())
    return Page(tuple(entries), listing.pagination.next_token, listing.context_hint)


def _entry(file: _File) -> Entry:
    return Entry(file.name, file.type == _FOLDER, _NO_THUMBNAIL not in (file.metadata or {}))
