"""Tests that need a program of the system: skipped with the reason where it is missing, which CI does not accept."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker by which `deploy/test` finds what to install."""
    config.addinivalue_line("markers", "needs(program): skip the test where this program is not installed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing."""
    for mark in item.iter_markers("needs"):
        program = str(mark.args[0])
        if found(program) is None:
            pytest.skip(f"{program} is not installed; as root on Debian or Ubuntu, deploy/test installs it")


def found(program: str) -> str | None:
    """Find a program: of the system, or of a wheel in this environment."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when CI has skipped a test, for whatever reason."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or os.environ.get("CI") != "true" or session.exitstatus != pytest.ExitCode.OK:
        return
    if skipped := reporter.stats.get("skipped"):
        reporter.write_line(f"\nCI=true, and {len(skipped)} tests were skipped: this counts as failed.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
