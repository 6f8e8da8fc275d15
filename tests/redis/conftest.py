"""Fixtures of the Redis room: those of the tiers."""

from __future__ import annotations

from tests.cache.conftest import clock, make_tier

__all__ = ["clock", "make_tier"]
