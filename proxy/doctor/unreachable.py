"""Why an address cannot be asked, in words of our own: a library's message may hold an address or a token."""

from __future__ import annotations

import os

import aiohttp


def reason(error: Exception, *, connect_s: float | None = None, answer_s: float | None = None) -> str:
    """Say what went wrong; the times are those that were waited."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"there is no host named {error.host}"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "there is no TLS with a certificate that is trusted here"
        case aiohttp.ClientConnectorError():
            code = error.os_error.errno
            return os.strerror(code).lower() if code else "nothing accepts connections there"
        case aiohttp.ConnectionTimeoutError():
            return f"no connection {_within(connect_s)}"
        case TimeoutError():
            return f"no answer {_within(answer_s)}"
        case _:
            return "the connection breaks off, or what answers is not HTTP"


def _within(seconds: float | None) -> str:
    return "in time" if seconds is None else f"within {seconds:g} s"
