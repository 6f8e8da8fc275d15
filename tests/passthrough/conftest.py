"""Fixtures of pass-through: a stand-in for Cloudreve and gateways in front of it."""

from __future__ import annotations

from tests.harness.fixtures import cloudreve, hours, launcher, log_entries, site

__all__ = ["cloudreve", "hours", "launcher", "log_entries", "site"]
