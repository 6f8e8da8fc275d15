"""aiohttp's connection to a visitor, without four faults of it (aiohttp 3.14).

Two matter to whoever passes bodies on, and lie in its C parser. A chunk that breaks HTTP, when the request it belongs
to is being handled already, becomes an error of the *next* request, and who reads the body waits for ever. And the last
trailer of a chunked body turns up among the fields of the next request, which behind a load balancer may be somebody
else's.

A connection that was accepted in the moment of leaving is told to close before it has begun to wait, waits all the
same, hears nothing any more, and holds up both its visitor and the leaving for as long as requests are given. And what
is said to a request that breaks HTTP quotes it, tokens included.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from proxy.errors import BadRequest, ProxyError
from proxy.policy.headers import problem, problem_fields

_SERVER_SIDE = 500


class Connection(RequestHandler):
    """Tells who reads a body that it has broken off, closes whenever it is idle, and quotes nobody."""

    __slots__ = ()

    def close(self) -> None:
        """Close now, or behind the request under way."""
        super().close()
        if self._waiter is None and not self._request_in_progress and not self._messages:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = _SERVER_SIDE,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or what nobody caught; the connection ends with it."""
        super().handle_error(request, status, exc)
        error = ProxyError("The gateway failed on this request.")
        if status < _SERVER_SIDE:
            error = BadRequest("The request breaks HTTP, or a line of its head is too long.")
        fields = {**dict(problem_fields(error)), "Server": "thumb-proxy"}
        response = web.Response(status=error.status, headers=fields, body=problem(error))
        response.force_close()
        return response

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        super().data_received(data)
        if not self._messages or isinstance(self._messages[-1][0], RawRequestMessage):
            return
        waiting, current = [payload for _, payload in self._messages][:-1], self._current_request
        body = waiting[-1] if waiting else current.content if current is not None else None
        if body is not None and not body.is_eof():
            body.set_exception(web.RequestPayloadError("The body breaks HTTP."))


async def close_behind_chunks(request: web.Request, response: web.StreamResponse) -> None:
    """Let a chunked request be the last of its connection; for `on_response_prepare`."""
    if "Transfer-Encoding" in request.headers:
        response.force_close()
        response.headers["Connection"] = "close"
