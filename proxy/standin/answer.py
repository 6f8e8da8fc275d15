"""Cloudreve's answers: HTTP 200 whatever happens, and the truth in `code` (docs/cloudreve.md, Codes)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

from aiohttp import web

API_CACHING = "private, no-cache"


class Refused(Exception):
    """An outcome other than success, with Cloudreve's code, message and, for some, data."""

    def __init__(self, code: int, msg: str, data: object = None, *, correlated: bool = True) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.data = data
        self.correlated = correlated
        """Complaints about parameters carry no correlation id."""

    def answer(self) -> web.Response:
        """Wrap the refusal the way Cloudreve does."""
        value: dict[str, object] = {"code": self.code}
        if self.data is not None:
            value["data"] = self.data
        value["msg"] = self.msg
        if self.correlated:
            value["correlation_id"] = str(uuid4())
        return bare(value)


def success(data: object) -> web.Response:
    """Wrap data in code 0."""
    return bare({"code": 0, "data": data, "msg": ""})


def bare(value: object) -> web.Response:
    """Send JSON without a wrapper, as whoami does."""
    headers = {"Cache-Control": API_CACHING, "Content-Type": "application/json; charset=utf-8"}
    return web.Response(body=go_json(value), headers=headers)


def not_found() -> web.Response:
    """Answer a route or method that does not exist: the one place where Cloudreve's HTTP status is true."""
    return web.Response(status=404, body=b"404 page not found", content_type="text/plain")


def go_json(value: object) -> bytes:
    """Encode like Go: compact, UTF-8, and HTML's special characters escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e").encode()


def go_time(at: float, nanoseconds: int = 0) -> str:
    """Write RFC 3339 with nanoseconds, trailing zeros dropped, as Go does."""
    fraction = f"{int(at % 1 * 1e6) * 1000 + nanoseconds:09d}".rstrip("0")
    moment = datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{fraction}Z" if fraction else f"{moment}Z"
