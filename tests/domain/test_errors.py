"""Errors: a true status, a public message and a label each, and nothing that is not public."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from proxy.domain import errors, protocol_errors, sign_in_errors, storage_errors
from proxy.domain.errors import (
    BadRequest,
    Busy,
    GrantRejected,
    InvalidToken,
    MethodNotAllowed,
    ProxyError,
    Refused,
    StillGenerating,
    TooSlow,
    Unreachable,
    UpstreamError,
)
from proxy.domain.refusal import Generating, Refusal, RefusalKind
from proxy.domain.storage_errors import StorageBusy
from proxy.upstream.answers import read_thumb


def classes(top: type[ProxyError] = ProxyError) -> Iterator[type[ProxyError]]:
    yield top
    for below in top.__subclasses__():
        yield from classes(below)


def made(kind: type[ProxyError]) -> list[ProxyError]:
    """Make one of each that may come of a class."""
    if issubclass(kind, Refused):
        return [Refused(Refusal(refusal, 40016)) for refusal in RefusalKind]
    if issubclass(kind, StillGenerating):
        return [StillGenerating(Generating(40073, "id"))]
    if issubclass(kind, StorageBusy):
        return [StorageBusy(37.0)]
    if issubclass(kind, MethodNotAllowed):
        return [MethodNotAllowed("GET, HEAD")]
    return [kind("What was wrong.")]


EVERY = [error for kind in classes() for error in made(kind)]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.category)
def test_every_error_can_be_answered_with_and_counted(error: ProxyError) -> None:
    """A status that is an error's, a title, a detail that is a sentence, and a category that is a label."""
    assert 400 <= error.status <= 599
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.category)
    assert error.title
    assert error.detail.endswith(".")
    assert str(error) == error.detail


def test_no_two_kinds_of_error_share_a_label() -> None:
    """An operator who sees one counter rise knows which it is."""
    categories = [error.category for error in EVERY]
    assert len(set(categories)) == len(categories)


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.category)
def test_a_client_is_asked_to_come_back_exactly_where_that_may_help(error: ProxyError) -> None:
    """503 and 504 name seconds; after any other status the same question would get the same answer."""
    assert (error.retry_after_s is not None) == (error.status in (503, 504))
    assert error.retry_after_s is None or error.retry_after_s > 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ProxyError, 500),
        (BadRequest, 400),
        (InvalidToken, 401),
        (UpstreamError, 502),
        (GrantRejected, 502),
        (Unreachable, 503),
        (Busy, 503),
        (TooSlow, 504),
    ],
)
def test_the_status_tells_whose_fault_it_was(error: type[ProxyError], status: int) -> None:
    assert error("x").status == status


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (-1, 404),
        (401, 401),
        (403, 403),
        (404, 404),
        (40001, 400),
        (40016, 404),
        (40020, 401),
        (40044, 404),
        (40058, 404),
        (40069, 403),
        (40077, 404),
        (40083, 402),
        (40088, 401),
        (40089, 403),
        (40073, 503),
        (50004, 503),
        (50001, 502),
        (40072, 502),
    ],
)
def test_every_code_of_the_contract_has_its_true_status(code: int, status: int) -> None:
    """Cloudreve says 200 to all of them; its own code and correlation id stay with the error."""
    answer = read_thumb(b'{"code": %d, "correlation_id": "0a54d451"}' % code)
    assert isinstance(answer, Refusal | Generating)
    error = Refused(answer) if isinstance(answer, Refusal) else StillGenerating(answer)
    assert (error.status, error.code, error.correlation_id) == (status, code, "0a54d451")


def test_one_refusal_leaves_nothing_behind_in_the_next() -> None:
    Refused(Refusal(RefusalKind.FORBIDDEN, 403, "id"))
    assert (ProxyError.status, ProxyError.code, ProxyError.correlation_id) == (500, None, "")
    assert (Refused.status, Refused.category, Refused.correlation_id) == (500, "refused", "")


def test_an_error_without_a_detail_has_an_empty_one() -> None:
    """No `None` in a message."""
    assert (ProxyError().detail, str(ProxyError())) == ("", "")


def test_the_whole_tree_is_in_the_domain() -> None:
    assert {kind.__module__ for kind in classes()} == {
        module.__name__ for module in (errors, protocol_errors, sign_in_errors, storage_errors)
    }
