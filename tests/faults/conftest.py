"""No gateway of these tests may log an error."""

from __future__ import annotations

from tests.harness.fixtures import log_entries

__all__ = ["log_entries"]
