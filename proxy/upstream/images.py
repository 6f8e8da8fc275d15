"""Fetches the bytes behind a signed image URL, from the site itself or from where its storage keeps them."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp

from proxy.domain.errors import ProxyError, UpstreamError
from proxy.domain.ssrf import Origins, Target, is_public_address
from proxy.domain.storage_errors import NotPublic
from proxy.settings import CloudreveSettings
from proxy.upstream.cloudreve import translated
from proxy.upstream.host_pauses import HostPauses
from proxy.upstream.image_answer import FAILING, NODE, Arrival, read_image_answer

MAX_REDIRECTS = 3
RETRY_S = 0.2
"""After about this a picture is asked for once more whose storage answered with an error of its own."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class ForbiddenAddress(OSError):
    """A foreign image URL that leads into a private network."""


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
        if target.url.raw_path.startswith(NODE):
            etag = ""
        try:
            for _ in range(MAX_REDIRECTS + 1):
                async with AsyncExitStack() as stack:
                    with self._pauses.request(_place(target)):
                        response = await self._opened(stack, target, etag)
                        is_redirect = response.status in _REDIRECTS
                        arrival = None if is_redirect else await read_image_answer(response, etag)
                    if not is_redirect:
                        yield arrival
                        self._pauses.hear(_place(target))
                        return
                    target = self._origins.follow(target, response.headers.get("Location", ""))
        except (TimeoutError, aiohttp.ClientError) as error:
            raise self._failure(error, target) from error
        except ProxyError as error:
            error.storage = error.storage or target.url.authority
            raise
        raise UpstreamError("The image URL redirects too often.")

    def _failure(self, error: TimeoutError | aiohttp.ClientError, target: Target) -> ProxyError:
        """Return our error for a request that got no whole answer, and take note of it."""
        if _is_forbidden(error):
            failure: ProxyError = NotPublic("The image URL leads to an address that is not public.")
        else:
            self._pauses.fail(_place(target))
            failure = translated(error)
        failure.storage = target.url.authority
        return failure

    async def _opened(self, stack: AsyncExitStack, target: Target, etag: str) -> aiohttp.ClientResponse:
        """Ask for an image, once more where storage answers with an error of its own."""
        response: aiohttp.ClientResponse = await stack.enter_async_context(self._get(target, etag))
        if response.status not in FAILING:
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


def _is_forbidden(error: BaseException) -> bool:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, ForbiddenAddress)
