"""Secrets, which no log and no metric may tell."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from structlog.testing import capture_logs

from tests.leaks.play import Play
from tests.leaks.scene import SHARE_PASSWORDS, TICKETS
from tests.leaks.wishes import HINTS


class _Records(logging.Handler):
    def __init__(self, told: list[Any]) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(record.getMessage())


@contextmanager
def listening() -> Iterator[list[Any]]:
    """Write down what the gateways and their libraries log."""
    with capture_logs() as told:
        records = _Records(told)
        logging.getLogger().addHandler(records)
        yield told
        logging.getLogger().removeHandler(records)


def check_nothing_told(play: Play, told: Sequence[object]) -> None:
    """Fail where a secret is among what was said."""
    text = "\n".join(map(str, told))
    assert [secret for secret in _secrets(play) if secret in text] == []


def _secrets(play: Play) -> Iterator[str]:
    yield from (*SHARE_PASSWORDS, *TICKETS, *HINTS, "sign=", "X-Amz-", "file/content", "bucket/", ".png", "/thumb/s/e")
    for tokens in play.tokens.values():
        yield from (token.text.rpartition(".")[2] for token in tokens if len(token.text) > 100)
    yield from (cookie for session in play.sessions for cookie in session.cookies)
    yield from (given.path.rpartition("/")[2] for given in play.given)
    yield play.scene.cloudreve.secret
