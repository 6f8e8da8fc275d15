"""Fixtures of the whole gateway: a stand-in for Cloudreve and gateways in front of it."""

from __future__ import annotations

from tests.harness.fixtures import cloudreve, front, hours, house, narrated

__all__ = ["cloudreve", "front", "hours", "house", "narrated"]
