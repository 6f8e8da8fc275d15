"""Everything that has no route of its own: to Cloudreve and back, unchanged, when the configuration says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, cast

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from proxy.domain.errors import BadRequest, MethodNotAllowed, ProxyError, UpstreamError
from proxy.http.framing import ALLOWED
from proxy.http.outcome import PASSED, Outcome, ended, failed
from proxy.http.request_origin import RequestOrigin
from proxy.http.reset import reset
from proxy.passthrough.changes import Changes
from proxy.passthrough.client import UpstreamAnswer, UpstreamClient, UpstreamRequest
from proxy.passthrough.hop_by_hop import Head, answers_here, back, check, fields_of, onward, upgrade_of
from proxy.passthrough.tunnel import ReceiveBuffer, TunnelEnd
from proxy.passthrough.upload import at_once

ROUTE = "/{rest}"
"""The route's name in the application."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Passthrough:
    """Passes requests, tells of changes of files, and at a shutdown ends what would never end by itself."""

    def __init__(
        self,
        passage: UpstreamClient,
        request_origin: RequestOrigin,
        changes: Changes,
        own_cookies: Collection[str],
    ) -> None:
        self._passage = passage
        self._request_origin = request_origin
        self._changes = changes
        self._own_cookies = own_cookies
        self._endless: set[asyncio.Task[Any]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Make the route behind all others; a path that another serves comes here with any other method."""
        return [web.route("*", "/{rest:(?s:.*)}", self.handle, expect_handler=_leave_it_to_cloudreve)]

    async def hang_up(self, _: web.Application) -> None:
        """End event streams and tunnels, for `on_shutdown`; their clients connect again, to a process that stays."""
        for task in self._endless:
            task.cancel()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass a request to Cloudreve, and its answer back."""
        head = _head(request)
        check(head)
        if answers_here(head):
            return _own_answer(head)
        async with (
            self._changes.watching(request) as changing,
            self._passage.ask(self._question(request, head, changing.body)) as answer,
        ):
            reply = await changing.answered(answer)
            if reply.far is None:
                return await self._relay(request, reply)
            if not head.wants_websocket:
                raise UpstreamError("Cloudreve switched to another protocol unasked.")
            return await self._connect(request, reply, reply.far)

    def _question(self, request: web.Request, head: Head, body: bytes | None) -> UpstreamRequest:
        async def proceed() -> None:
            await request.writer.write(_CONTINUE)
            request.writer.output_size = 0  # nothing of the answer itself has been sent

        return UpstreamRequest(
            request.method,
            head.target,
            onward(head, self._request_origin.seen(request), request.remote or "", self._own_cookies),
            (_body(request) if body is None else _whole(body)) if head.has_body else None,
            proceed if head.expects_continue else at_once,
        )

    async def _relay(self, request: web.Request, reply: UpstreamAnswer) -> web.StreamResponse:
        """Send what arrives; what breaks off must not look complete, so its connection is reset."""
        response = _response(reply)
        if not request.content.is_eof():
            response.force_close()  # whether the rest of the body will be read is not known yet
        if request.version < HttpVersion11 and response.content_length is None:
            response.force_close()  # that is the only end of such an answer, which aiohttp announces but does not bring
        is_endless = response.content_type == "text/event-stream"
        try:
            with self._endless_while(is_endless):
                await response.prepare(request)
                async for chunk in reply.chunks:
                    await response.write(chunk)
                await response.write_eof()
        except ProxyError as error:
            ended(response, failed(error))
            reset(request.transport)
        except ConnectionError:
            reset(request.transport)  # the visitor has left
        except BaseException:
            if not is_endless:  # events have no end that could be missed, and what is on its way may still arrive
                reset(request.transport)
            raise
        return response

    async def _connect(self, request: web.Request, reply: UpstreamAnswer, far: TunnelEnd) -> web.StreamResponse:
        """Answer 101, then carry bytes both ways until either side is gone."""
        response = _response(reply, switched=True)
        response.force_close()
        await response.prepare(request)
        if request.transport is None:
            return response
        near = ReceiveBuffer(request.transport)
        request.protocol.set_parser(cast("Any", near))
        ways = [
            asyncio.ensure_future(_carry(near.chunks(), far.write)),
            asyncio.ensure_future(_carry(far.chunks(), response.write)),
        ]
        try:
            with self._endless_while(True):
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        return response

    @contextmanager
    def _endless_while(self, is_endless: bool) -> Iterator[None]:
        """Note the current task, if what it does has no end of its own, for `hang_up`."""
        tasks = {task for task in (asyncio.current_task(),) if task is not None and is_endless}
        self._endless |= tasks
        try:
            yield
        finally:
            self._endless -= tasks


async def _leave_it_to_cloudreve(_: web.Request) -> None:
    """Send no `100 Continue`: that is decided by Cloudreve, which reads the body (RFC 9110 §10.1.1)."""


def _head(request: web.Request) -> Head:
    version = f"{request.version.major}.{request.version.minor}"
    return Head(request.method, request.raw_path, version, fields_of(request.raw_headers), request.body_exists)


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.content.iter_any():
            yield chunk
    except (web.RequestPayloadError, ConnectionError) as error:
        raise BadRequest("The body breaks off, or breaks HTTP.") from error


def _own_answer(head: Head) -> web.Response:
    """Answer in place of Cloudreve to a request that is to go no farther."""
    if head.method != "OPTIONS":
        raise MethodNotAllowed(ALLOWED)
    return ended(web.Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": ALLOWED}), Outcome(PASSED))


def _response(reply: UpstreamAnswer, *, switched: bool = False) -> web.StreamResponse:
    upgrade = upgrade_of(reply.fields) if reply.status == HTTPStatus.UPGRADE_REQUIRED else ""
    fields = CIMultiDict(back(reply.fields, switched=switched, upgrade=upgrade))
    response = web.StreamResponse(status=reply.status, reason=reply.reason, headers=fields)
    return ended(response, Outcome(PASSED, passed=frozenset(name.lower() for name in fields)))


async def _carry(chunks: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]) -> None:
    async for chunk in chunks:
        await write(chunk)
