"""What the tests of faults share with those of the whole gateway."""

from __future__ import annotations

from tests.harness.fixtures import cloudreve, house, narrated

__all__ = ["cloudreve", "house", "narrated"]
