"""What happens around every call: it is written down, refusals become answers, faults are played."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from proxy.standin.answer import Refused
from proxy.standin.calls import Call, Verb
from proxy.standin.faults import Exchange
from proxy.standin.site import Site

Job: TypeAlias = Callable[[web.Request, Call], Awaitable[web.Response]]
"""Answers a call properly, and writes down what it learnt about who asks for what."""
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def counted(site: Site, verb: Verb, job: Job) -> Handler:
    """Make a handler of a job."""

    async def handle(request: web.Request) -> web.StreamResponse:
        call = Call(verb, "", {name.lower(): value for name, value in request.headers.items()})
        fault = site.next_fault(verb)
        await site.calls.begin(call)
        try:
            proper = await _answer(job, request, call)
            if fault is None:
                return await _send(request, proper)
            call.fault = type(fault).__name__
            if not fault.redacted:
                call.code = None
            return await fault.play(Exchange(request, proper))
        except asyncio.CancelledError:
            call.left = True
            raise
        except ConnectionError:
            call.left = True
            return web.Response()  # nobody gets it
        finally:
            await site.calls.end(call)

    return handle


async def _answer(job: Job, request: web.Request, call: Call) -> web.Response:
    try:
        response = await job(request, call)
    except Refused as refused:
        call.code = refused.code
        return refused.answer()
    call.code = 0
    return response


async def _send(request: web.Request, response: web.Response) -> web.Response:
    """Send before the call counts as ended, so that counts of calls under way are true to the last byte."""
    await response.prepare(request)
    await response.write_eof()
    return response
