"""Fixtures of the demo: those of the stand-in."""

from __future__ import annotations

from tests.standin.conftest import client, cloudreve

__all__ = ["client", "cloudreve"]
