"""What the long way hands to the fast path, and the bytes of an answer."""

from __future__ import annotations

from typing import TypeAlias

from aiohttp import web

from proxy.pictures.respond import Answer

EVIDENCE = web.RequestKey("evidence", Answer)
"""The answer that a response was made from, where the response is nothing but that."""

Wire: TypeAlias = tuple[bytes, bytes]
"""Head and body."""
