"""The bodies of requests that change files, and of their answers, as far as they are looked into."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec
from aiohttp import web

from proxy.domain.errors import BadRequest
from proxy.domain.file_uri import FileUri
from proxy.grants.changing_requests import parsed
from proxy.passthrough.client import UpstreamAnswer

MAX_BODY_BYTES = 1024 * 1024
"""A body that says which files it is about is read first up to this length; behind a longer one may be any of them."""
MAX_ANSWER_BYTES = 256 * 1024


PARTLY_CODE = 40081
"""Some of several files could not be changed: `aggregated_error` has them (docs/cloudreve.md, Changes)."""


class ChangeAnswer(msgspec.Struct):
    """Cloudreve's answer to a request that changes files."""

    code: int | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    aggregated_error: dict[str, msgspec.Raw] | None = None

    @property
    def failed(self) -> list[FileUri]:
        """The files that were left as they were, where others were changed."""
        return parsed(self.aggregated_error or ())


async def read_body(request: web.Request) -> bytes | None:
    """Read a body that says which files it is about; None for one that is too long or none of ours to read."""
    length_bytes = request.content_length
    is_json = request.content_type == "application/json" and "Content-Encoding" not in request.headers
    if not is_json or "Expect" in request.headers or length_bytes is None or length_bytes > MAX_BODY_BYTES:
        return None
    try:
        return await request.content.readexactly(length_bytes)
    except (web.RequestPayloadError, ConnectionError, EOFError) as error:
        raise BadRequest("The body breaks off, or breaks HTTP.") from error


async def buffered(answer: UpstreamAnswer) -> tuple[bytes, UpstreamAnswer]:
    """Read an answer, up to a bound, and give it to be passed on whole."""
    held: list[bytes] = []
    rest = answer.chunks
    async for chunk in rest:
        held.append(chunk)
        if sum(map(len, held)) > MAX_ANSWER_BYTES:
            break

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in held:
            yield chunk
        async for chunk in rest:
            yield chunk

    return b"".join(held), replace(answer, chunks=chunks())


def read_change_answer(body: bytes) -> ChangeAnswer:
    """Read Cloudreve's answer; without a code where it is no JSON of this shape."""
    try:
        return msgspec.json.decode(body, type=ChangeAnswer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ChangeAnswer()
