"""Spreads test modules over workers: one runs all of a module, and all modules that share machines made for tests.

The group of pytest-xdist 3.8 is a suffix of a test's name, which pytest 9.2 no longer lets it add.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

NEW_MACHINES = {f"tests/deploy/test_{name}.py" for name in ("compose", "fresh_root", "images")}


class ModuleScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives the next module to the worker that has the least left."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return "new machines" if module in NEW_MACHINES else module


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ModuleScheduling | None:  # noqa: ANN401 - xdist's own
    """Do so with `--dist loadscope`."""
    return ModuleScheduling(config, log) if config.getvalue("dist") == "loadscope" else None
