"""Live events: what changes in a folder is told to those who listen (docs/cloudreve.md, Events)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from aiohttp import web

from proxy.standin import gourl
from proxy.standin.answer import Refused
from proxy.standin.calls import Call
from proxy.standin.library import Account
from proxy.standin.navigator import login_required, no_such_path
from proxy.standin.site import Site

QUEUE = 16
"""So many events wait for a listener; others are dropped."""

Topic = tuple[str, str]
"""A folder: its owner's id and its path."""


@dataclass
class _Listener:
    """One client of one folder, whether it is there or has left."""

    queue: asyncio.Queue[dict[str, str]] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    kept: list[dict[str, str]] = field(default_factory=list)
    is_online: bool = True

    def publish(self, event: dict[str, str]) -> None:
        """Hand an event over, or keep it for later."""
        if not self.is_online:
            self.kept.append(event)
        elif not self.queue.full():
            self.queue.put_nowait(event)

    def come_back(self) -> None:
        """Be online again, and publish the events that were kept meanwhile."""
        self.is_online, kept, self.kept = True, self.kept, []
        for event in kept:
            self.publish(event)


class Events:
    """Who listens to which folder. Unlike Cloudreve's, events are told at once or by `tell`, and none are merged."""

    def __init__(self, site: Site) -> None:
        self._site = site
        site.library.tell = self.publish
        self.is_waiting = False
        """Events wait for `tell`, as Cloudreve's wait for a quiet of 5 s."""
        self._waiting: list[tuple[str, Account, str, str]] = []
        self._listeners: dict[Topic, dict[str, _Listener]] = {}
        self._streams: set[asyncio.Transport] = set()

    def publish(self, kind: str, owner: Account, path: str, to: str = "") -> None:
        """Tell what has become of a file or folder to those who listen to a folder above it."""
        if self.is_waiting:
            self._waiting.append((kind, owner, path, to))
            return
        for (subject, folder), clients in self._listeners.items():
            prefix = folder.rstrip("/") + "/"
            if subject == owner.id and path.startswith(prefix):
                event = {"type": kind, "file_id": "f", "from": _below(folder, path), "to": to and _below(folder, to)}
                for listener in clients.values():
                    listener.publish(event)

    def tell(self) -> int:
        """Send the events that wait; return how many there were."""
        waiting, self._waiting, self.is_waiting = self._waiting, [], False
        for event in waiting:
            self.publish(*event)
        self.is_waiting = True
        return len(waiting)

    def online(self) -> list[str]:
        """Give the folders that are listened to, one for each listener."""
        return [
            folder
            for (_, folder), clients in self._listeners.items()
            for listener in clients.values()
            if listener.is_online
        ]

    def break_off(self) -> None:
        """Cut all streams; their listeners are taken for gone."""
        for transport in list(self._streams):
            transport.abort()

    def forget(self) -> None:
        """Forget all who have left, as a restart does."""
        for clients in self._listeners.values():
            for client in [client for client, listener in clients.items() if not listener.is_online]:
                del clients[client]

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET /api/v4/file/events`."""
        call = Call(
            "events", request.query.get("uri", ""), {name.lower(): text for name, text in request.headers.items()}
        )
        await self._site.calls.begin(call)
        try:
            return await self._answer(request, call)
        except Refused as refused:
            call.code = refused.code
            return refused.answer()
        finally:
            await self._site.calls.end(call)

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        viewer, _ = self._site.bearer(request)
        if viewer is None:
            raise login_required()
        call.identity = viewer.id
        if not self._site.has_events:
            raise Refused(40019, "This feature is not enabled")
        topic = self._topic(call.target, viewer)
        try:
            client = str(UUID(request.headers.get("X-Cr-Client-Id", "")))
        except ValueError as error:
            raise Refused(40001, "Client ID is required") from error
        call.code, clients = 0, self._listeners.setdefault(topic, {})
        is_resumed = client in clients
        listener = clients.setdefault(client, _Listener())
        return await self._stream(request, listener, is_resumed=is_resumed)

    def _topic(self, uri: str, viewer: Account) -> Topic:
        """Find the folder, as far as the viewer may list it."""
        address = gourl.read(uri)
        library = self._site.library
        owner, path = viewer, gourl.clean(address.path)
        if address.filesystem == "share":
            share = library.shares.get(address.user or "")
            if share is None or (share.password and share.password != address.password):
                raise Refused(40001, "Requested uri not available")
            owner, path = share.owner, gourl.clean(share.path + address.path)
        if not library.has_folder(owner, path):
            raise no_such_path()
        return owner.id, path

    async def _stream(self, request: web.Request, listener: _Listener, *, is_resumed: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        await response.write(b"event:%b\ndata:<nil>\n\n" % (b"resumed" if is_resumed else b"subscribed"))
        listener.come_back()
        try:
            with _half_open(request) as ended:
                await self._tell(response, listener, ended, request)
        finally:
            listener.is_online = False
        await response.write_eof()
        return response

    async def _tell(
        self, response: web.StreamResponse, listener: _Listener, ended: asyncio.Event, request: web.Request
    ) -> None:
        """Tell events until the listener has closed its side."""
        transport = request.transport
        if transport is None:
            return
        self._streams.add(transport)
        left = asyncio.ensure_future(ended.wait())
        try:
            while not left.done():
                event = asyncio.ensure_future(listener.queue.get())
                try:
                    await asyncio.wait({left, event}, return_when=asyncio.FIRST_COMPLETED)
                    if event.done():
                        await response.write(b"event:event\ndata:%b\n\n" % json.dumps(event.result()).encode())
                finally:
                    event.cancel()
        finally:
            left.cancel()
            self._streams.discard(transport)


def _below(folder: str, path: str) -> str:
    return "/" + path.removeprefix(folder).lstrip("/")


class _HalfOpen(asyncio.Protocol):
    """Keeps a connection open when its client has closed its side, as Go's server does for as long as it answers."""

    def __init__(self, inner: asyncio.Protocol, ended: asyncio.Event) -> None:
        self._inner = inner
        self._ended = ended

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool:
        self._ended.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


@contextmanager
def _half_open(request: web.Request) -> Iterator[asyncio.Event]:
    """Set the event when the client closes its side."""
    ended, transport = asyncio.Event(), request.transport
    if transport is None:
        yield ended
        return
    transport.set_protocol(_HalfOpen(request.protocol, ended))
    try:
        yield ended
    finally:
        if not transport.is_closing():
            transport.set_protocol(request.protocol)
