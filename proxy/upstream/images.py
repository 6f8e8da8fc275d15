"""Fetches the bytes behind a signed image URL, from the site itself or from where its storage keeps them."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from proxy.domain.errors import GrantRejected, Unreachable, UpstreamError
from proxy.domain.ssrf import Origins, Target, is_public_address
from proxy.domain.storage_errors import NotMade, NotStored, StorageBusy
from proxy.settings import CloudreveSettings
from proxy.upstream.answers import is_failure, is_rejection, told
from proxy.upstream.cloudreve import translated
from proxy.upstream.decoding import decoded
from proxy.upstream.host_pauses import HostPauses, host_time, retry_after_s

MAX_REDIRECTS = 3
CHUNK_BYTES = 64 * 1024
REJECTION_BYTES = 4096
"""How much of a JSON body is read to learn why there is no picture."""

RETRY_S = 0.2
"""After about this a picture is asked for once more whose storage answered with an error of its own."""

_PAUSING = frozenset({429, 503})
_FAILING = frozenset({500, 502, 504})
_ABSENT = frozenset({403, 404})
_VOID = frozenset({401, 410})
_NODE = "/api/v4/slave/"
"""Before the paths of another node of the site, whose ETag is the same for different pictures
(docs/cloudreve.md, Storage elsewhere)."""
_NODE_THUMB = f"{_NODE}file/thumb/"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class ForbiddenAddress(OSError):
    """A foreign image URL that leads into a private network."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An image answer whose bytes are still to come."""

    length_bytes: int | None
    etag: str
    """As received; empty where there was none."""
    chunks: AsyncIterator[bytes]


class Images:
    """Fetches through one of two sessions: one for the site and the listed hosts, one for public addresses only."""

    def __init__(
        self,
        trusted: aiohttp.ClientSession,
        guarded: aiohttp.ClientSession,
        origins: Origins,
        settings: CloudreveSettings,
    ) -> None:
        self._trusted = trusted
        self._guarded = guarded
        self._origins = origins
        self._pauses = HostPauses()
        self._timeout = aiohttp.ClientTimeout(total=settings.fetch_timeout_s, sock_connect=settings.connect_timeout_s)

    @asynccontextmanager
    async def fetch(self, url: str, etag: str) -> AsyncIterator[Arrival | None]:
        """Open the image; None when it is still the one that `etag` names.

        Raises GrantRejected when the URL is no longer honoured, StorageBusy while its host wants to be left alone,
        Unreachable when the host fails, and UpstreamError when what comes is no image answer.
        """
        target = self._origins.target(url)
        if target.url.raw_path.startswith(_NODE):
            etag = ""
        try:
            for _ in range(MAX_REDIRECTS + 1):
                async with AsyncExitStack() as stack:
                    with self._pauses.request(_place(target)):
                        response = await self._opened(stack, target, etag)
                        is_redirect = response.status in _REDIRECTS
                        arrival = None if is_redirect else await _arrival(response, etag)
                    if not is_redirect:
                        yield arrival
                        self._pauses.hear(_place(target))
                        return
                    target = self._origins.follow(target, response.headers.get("Location", ""))
        except (TimeoutError, aiohttp.ClientError) as error:
            if _is_forbidden(error):
                raise UpstreamError("The image URL leads to an address that is not public.") from error
            self._pauses.fail(_place(target))
            raise translated(error) from error
        raise UpstreamError("The image URL redirects too often.")

    async def _opened(self, stack: AsyncExitStack, target: Target, etag: str) -> aiohttp.ClientResponse:
        """Ask for an image, once more where storage answers with an error of its own."""
        response: aiohttp.ClientResponse = await stack.enter_async_context(self._get(target, etag))
        if response.status not in _FAILING:
            return response
        response.close()
        await asyncio.sleep(RETRY_S * (0.5 + random.random()))  # noqa: S311 - jitter is no secret
        again: aiohttp.ClientResponse = await stack.enter_async_context(self._get(target, etag))
        return again

    def _get(self, target: Target, etag: str) -> Any:  # noqa: ANN401 - aiohttp's own context manager
        session = self._guarded if target.guarded else self._trusted
        headers = {"Accept": "image/*", "Accept-Encoding": "identity"}
        if etag:
            headers["If-None-Match"] = etag
        return session.get(target.url, headers=headers, timeout=self._timeout, allow_redirects=False)


def _place(target: Target) -> str:
    """Name what is left alone when it is busy: a host, but of Cloudreve one picture, whose storage may be another."""
    return f"{target.url.authority}{target.url.raw_path if target.internal else ''}"


def public_socket(address: Any) -> socket.socket:  # noqa: ANN401 - aiohttp's AddrInfoType
    """Make the socket for one resolved address, at the moment of connecting, or refuse it."""
    family, kind, protocol, _, where = address
    if not is_public_address(str(where[0])):
        raise ForbiddenAddress("not a public address")
    return socket.socket(family=family, type=kind, proto=protocol)


async def _arrival(response: aiohttp.ClientResponse, etag: str) -> Arrival | None:
    if response.status == 304 and etag:  # noqa: PLR2004
        return None
    if response.status in _PAUSING:
        now = host_time(response.headers.get("Date"))
        raise StorageBusy(retry_after_s(response.headers.get("Retry-After"), now))
    if response.status in _FAILING:
        raise Unreachable("The picture's storage does not answer properly at the moment.")
    if response.content_type == "application/json" or response.status >= 400:  # noqa: PLR2004
        raise await _no_picture(response)
    if response.status != 200:  # noqa: PLR2004
        raise UpstreamError("The image URL answered with an unexpected status.")
    chunks: AsyncIterator[bytes] = response.content.iter_chunked(CHUNK_BYTES)
    length = response.content_length
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        chunks, length = decoded(coding, chunks), None
    version = "" if response.url.raw_path.startswith(_NODE) else response.headers.get("ETag", "")
    return Arrival(length, version, chunks)


async def _no_picture(response: aiohttp.ClientResponse) -> UpstreamError:
    body = await response.content.read(REJECTION_BYTES)
    error = _reason(response, body)
    error.code, error.correlation_id = told(body)
    return error


def _reason(response: aiohttp.ClientResponse, body: bytes) -> UpstreamError:
    if response.status in _ABSENT:
        return NotStored("The picture's storage does not give it.")
    if response.url.raw_path.startswith(_NODE_THUMB) and is_failure(body):
        return NotMade("The site's other node could not make this thumbnail.")
    if is_rejection(body) or response.status in _VOID:
        return GrantRejected("The image URL is no longer honoured.")
    return UpstreamError("The image URL answered with something that is not a picture.")


def _is_forbidden(error: BaseException) -> bool:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, ForbiddenAddress)
