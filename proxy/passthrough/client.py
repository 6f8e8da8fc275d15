"""The way to Cloudreve for what the gateway does not serve itself: heads as they are, bodies as they come."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from proxy.domain.errors import ProxyError, UpstreamError
from proxy.domain.fields import Fields
from proxy.domain.storage_errors import BrokenOff
from proxy.observe.span import Kind, Observer
from proxy.passthrough.hop_by_hop import fields_of
from proxy.passthrough.tunnel import TunnelEnd
from proxy.passthrough.upload import ImpatientRequest, Proceed, Upload, at_once
from proxy.settings import CloudreveSettings
from proxy.upstream.cloudreve import translated
from proxy.upstream.trust import trust

FIRST_BYTE_S = 300.0
"""How long Cloudreve may think about a GET. What changes something, such as copying a folder, takes what it takes."""
MAX_HEAD_BYTES = 64 * 1024
"""The longest line of an answer's head."""
HELD_BYTES = 64 * 1024
"""How much of a body is buffered when its receiver is slow; with the buffers of loop and sockets, ten times as much."""
SILENCE_S = 60
"""After how long without data TCP keep-alive probes a connection: event streams and uploads have no deadline."""

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})
_NEVER_ADDED = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
"""What aiohttp sends of its own accord where a visitor has sent none."""


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request to be passed."""

    method: str
    target: str = field(repr=False)
    """Path and query, byte for byte."""
    fields: Fields = field(repr=False)
    body: AsyncIterator[bytes] | None = None
    """Raises a ProxyError when the visitor breaks it off."""
    proceed: Proceed = at_once
    """Called when Cloudreve wants the body, before the first of it is taken."""


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """An answer whose body is still to come."""

    status: int
    reason: str
    fields: Fields = field(repr=False)
    chunks: AsyncIterator[bytes]
    """Ends where the body does; raises a ProxyError when it breaks off."""
    far: TunnelEnd | None
    """Cloudreve's end of the tunnel; only with 101."""


class UpstreamClient:
    """Takes requests to Cloudreve and brings back what it answers, whatever that is.

    A GET goes over connections that are kept; when one turns out to be closed, aiohttp takes another. What changes
    something gets a connection of its own and goes once: nobody could tell whether it had been done already.
    """

    def __init__(
        self,
        kept: aiohttp.ClientSession,
        single: aiohttp.ClientSession,
        settings: CloudreveSettings,
        observer: Observer,
    ) -> None:
        self._kept = kept
        self._single = single
        self._observer = observer
        self._site = URL(settings.url)

    @asynccontextmanager
    async def ask(self, question: UpstreamRequest) -> AsyncIterator[UpstreamAnswer]:
        """Pass a request; raise a ProxyError when no answer comes. Leaving early ends the request on both its ways."""
        body = None if question.body is None else Upload(question.body, question.proceed)
        async with await self._answer(question, body) as response:
            if body is not None:
                body.watch(response)
            yield _reply(response, _chunks(response, body))

    async def _answer(self, question: UpstreamRequest, body: Upload | None) -> aiohttp.ClientResponse:
        """Send the question and wait for the head of the answer; the body may still be on its way then."""
        is_repeatable = question.method in _REPEATABLE and body is None
        session = self._kept if is_repeatable else self._single
        # All of the target is given as the path: as a query, yarl would drop one that is empty.
        target = URL.build(
            scheme=self._site.scheme, authority=self._site.raw_authority, path=question.target, encoded=True
        )
        with self._observer.span("pass", Kind.CALL) as call, _translating(body):
            async with asyncio.timeout(FIRST_BYTE_S if is_repeatable else None):
                response = await session.request(
                    question.method, target, headers=CIMultiDict(question.fields), data=body, allow_redirects=False
                )
            call.outcome = "ok"
            return response


@asynccontextmanager
async def passage(settings: CloudreveSettings, observer: Observer) -> AsyncIterator[UpstreamClient]:
    """Open the way, with connections of its own."""
    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(_session(settings))
        single = await stack.enter_async_context(_session(settings, force_close=True, middlewares=(_once,)))
        yield UpstreamClient(kept, single, settings, observer)


def _session(
    settings: CloudreveSettings, *, force_close: bool = False, middlewares: Sequence[aiohttp.ClientMiddlewareType] = ()
) -> aiohttp.ClientSession:
    ssl = trust(settings.ca_file)
    connector = aiohttp.TCPConnector(limit=0, ssl=ssl, force_close=force_close, socket_factory=_lasting_socket)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_NEVER_ADDED,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_s),
        read_bufsize=HELD_BYTES,
        max_line_size=MAX_HEAD_BYTES,
        max_field_size=MAX_HEAD_BYTES,
        middlewares=middlewares,
        request_class=ImpatientRequest,
    )


def _lasting_socket(address: Any) -> socket.socket:  # noqa: ANN401 - aiohttp's AddrInfoType
    """Make a socket that notices when the other side has vanished."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE_S)
    return made


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Replace the two kinds of error after which aiohttp would send a PUT or DELETE a second time."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise  # nothing has been sent
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise UpstreamError("Cloudreve closed the connection without an answer.") from error


@contextmanager
def _translating(body: Upload | None) -> Iterator[None]:
    """Translate aiohttp's errors; where the visitor's body broke off, raise that error in their place."""
    try:
        yield
    except (TimeoutError, aiohttp.ClientError, ProxyError) as error:
        if body is not None and body.failure is not None:
            raise body.failure from error
        raise error if isinstance(error, ProxyError) else translated(error) from error


def _reply(response: aiohttp.ClientResponse, chunks: AsyncIterator[bytes]) -> UpstreamAnswer:
    has_switched = response.status == HTTPStatus.SWITCHING_PROTOCOLS
    if response.status < HTTPStatus.OK and not has_switched:
        raise UpstreamError("Cloudreve answered with an interim status only.")
    reason = response.reason if response.reason and response.reason.isprintable() else ""
    far = TunnelEnd(response.connection) if has_switched else None
    return UpstreamAnswer(response.status, reason, fields_of(response.raw_headers), chunks, far)


async def _chunks(response: aiohttp.ClientResponse, body: Upload | None) -> AsyncIterator[bytes]:
    """Give the body of an answer as it comes."""
    protocol = response.connection.protocol if response.connection is not None else None
    with _translating(body), _waking(response.content, protocol.closed if protocol is not None else None):
        async for chunk in response.content.iter_any():
            yield chunk
    # The end of a body without length or chunks is the end of its connection; aiohttp makes no difference between one
    # that was closed and one that was reset.
    if protocol is not None and isinstance(protocol.exception(), aiohttp.ClientOSError):
        raise BrokenOff("Cloudreve broke its answer off.")


@contextmanager
def _waking(content: aiohttp.StreamReader, closed: asyncio.Future[None] | None) -> Iterator[None]:
    """Wake the reader of a body when its connection has ended; aiohttp does not when a chunk breaks HTTP."""

    def wake(ended: asyncio.Future[None]) -> None:
        if not ended.cancelled():
            ended.exception()  # seen
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the answer breaks HTTP"))

    if closed is not None:
        closed.add_done_callback(wake)
    try:
        yield
    finally:
        if closed is not None:
            closed.remove_done_callback(wake)
