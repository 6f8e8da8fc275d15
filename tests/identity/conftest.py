"""The steps of a gateway in front of a stand-in."""

from __future__ import annotations

from tests.harness.steps import site, taken

__all__ = ["site", "taken"]
