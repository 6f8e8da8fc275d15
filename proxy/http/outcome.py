"""How a request ended: what a response tells metrics, log and fast path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from proxy.domain.errors import ProxyError
from proxy.pictures.answer import Answer

R = TypeVar("R", bound=web.StreamResponse)

PASSED = "pass"
"""The answer is Cloudreve's."""
LEFT = "left"
"""The visitor did not wait for the answer, or not for all of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one request."""

    name: str
    """In the vocabulary of the metrics."""
    error: ProxyError | None = None
    request_id: str = ""
    """Names a request that ended in an error: its answer and the log have the same name for it."""
    answer: Answer | None = None
    """The answer that the response was made from, where the response is nothing but that."""
    passed: frozenset[str] | None = None
    """The names, in lower case, of the fields that an answer of Cloudreve's came with."""


_OUTCOME = web.ResponseKey("outcome", Outcome)


def ended(response: R, outcome: Outcome) -> R:
    """Have a response tell how its request ended."""
    response[_OUTCOME] = outcome
    return response


def outcome_of(response: web.StreamResponse) -> Outcome | None:
    """Give what a response tells; None for health and the like, which are not counted."""
    return response.get(_OUTCOME)


def failed(error: ProxyError, request_id: str = "") -> Outcome:
    """Make the outcome of a request that ended in an error."""
    return Outcome(error.category, error, request_id)
