"""Fixtures of the whole gateway: a stand-in for Cloudreve and gateways in front of it."""

from __future__ import annotations

from tests.harness.fixtures import cloudreve, gateway, hours, launcher, log_entries

__all__ = ["cloudreve", "gateway", "hours", "launcher", "log_entries"]
