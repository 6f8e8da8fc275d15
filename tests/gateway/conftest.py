"""Fixtures of the whole gateway: a stand-in for Cloudreve and gateways in front of it."""

from __future__ import annotations

import pytest

from proxy.pictures import lookup
from tests.harness.fixtures import log_entries

__all__ = ["log_entries"]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine take its time to tell whether a picture has changed."""
    monkeypatch.setattr(lookup, "REVALIDATE_S", 60.0)
