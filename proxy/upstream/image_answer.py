"""Reads what an image URL answers: a picture that is to come, or why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from proxy.domain.errors import GrantRejected, ProxyError, Unreachable, UpstreamError
from proxy.domain.storage_errors import NotMade, NotStored, StorageBusy
from proxy.upstream.answers import is_failure, is_rejection, told
from proxy.upstream.decoding import decoded
from proxy.upstream.host_pauses import host_time, retry_after_s
from proxy.upstream.storage_answers import storage_advice, storage_code

CHUNK_BYTES = 64 * 1024
REJECTION_BYTES = 4096
"""How much of a body is read to learn why there is no picture."""
REJECTION_S = 1.0
"""How long that may take."""
NODE = "/api/v4/slave/"
"""Before the paths of another node of the site, whose ETag is the same for different pictures
(docs/cloudreve.md, Storage elsewhere)."""
FAILING = frozenset({500, 502, 504})

_PAUSING = frozenset({429, 503})
_ABSENT = frozenset({403, 404})
_VOID = frozenset({401, 410})
_NODE_THUMB = f"{NODE}file/thumb/"


@dataclass(frozen=True, slots=True)
class Arrival:
    """An image answer whose bytes are still to come."""

    length_bytes: int | None
    etag: str
    """As received; empty where there was none."""
    chunks: AsyncIterator[bytes]


async def read_image_answer(response: aiohttp.ClientResponse, etag: str) -> Arrival | None:
    """Give the picture that is to come, None where `etag` names it still; raise why there is none."""
    if response.status == 304 and etag:  # noqa: PLR2004
        return None
    if response.content_type == "application/json" or response.status >= 400:  # noqa: PLR2004
        raise await _no_picture(response)
    if response.status != 200:  # noqa: PLR2004
        raise UpstreamError("The image URL answered with an unexpected status.")
    chunks: AsyncIterator[bytes] = response.content.iter_chunked(CHUNK_BYTES)
    length = response.content_length
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        chunks, length = decoded(coding, chunks), None
    version = "" if response.url.raw_path.startswith(NODE) else response.headers.get("ETag", "")
    return Arrival(length, version, chunks)


async def _no_picture(response: aiohttp.ClientResponse) -> ProxyError:
    """Read a little of the body, so that the log can say what storage has said."""
    body = b""
    with suppress(TimeoutError, aiohttp.ClientError):  # its status says enough
        async with asyncio.timeout(REJECTION_S):
            body = await response.content.read(REJECTION_BYTES)
    error = _reason(response, body)
    error.code, error.correlation_id = told(body)
    error.storage = " ".join(filter(None, (str(response.url.authority), str(response.status), storage_code(body))))
    error.advice = storage_advice(response.status, body) or error.advice
    return error


def _reason(response: aiohttp.ClientResponse, body: bytes) -> ProxyError:
    if response.status in _PAUSING:
        now = host_time(response.headers.get("Date"))
        return StorageBusy(retry_after_s(response.headers.get("Retry-After"), now))
    if response.status in FAILING:
        return Unreachable("The picture's storage does not answer properly at the moment.")
    if response.status in _ABSENT:
        return NotStored("The picture's storage does not give it.")
    if response.url.raw_path.startswith(_NODE_THUMB) and is_failure(body):
        return NotMade("The site's other node could not make this thumbnail.")
    if is_rejection(body) or response.status in _VOID:
        return GrantRejected("The image URL is no longer honoured.")
    return UpstreamError("The image URL answered with something that is not a picture.")
