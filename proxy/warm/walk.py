"""Walks a folder: gives the File URIs of what may have a thumbnail, page by page."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from proxy.domain.credentials import Credentials
from proxy.domain.file_uri import FileUri, child
from proxy.upstream.cloudreve import Cloudreve

CredentialsOf = Callable[[], Awaitable[Credentials]]
"""Gives credentials that are good for a call; a walk may take longer than a token lives."""


async def walk(
    cloudreve: Cloudreve, folder: FileUri, credentials: CredentialsOf, *, is_recursive: bool
) -> AsyncIterator[list[FileUri]]:
    """Give a folder's files, then those of the folders in it; raise Refused where one may not be listed."""
    pending = deque([folder])
    while pending:
        at, token, hint = pending.popleft(), "", ""
        while True:
            page = await cloudreve.list(at, await credentials(), token, hint)
            if is_recursive:
                pending.extend(child(at, entry.name) for entry in page.entries if entry.is_folder)
            yield [child(at, entry.name) for entry in page.entries if entry.has_thumbnail and not entry.is_folder]
            if not page.next_token or page.next_token == token:
                break
            token, hint = page.next_token, page.hint
