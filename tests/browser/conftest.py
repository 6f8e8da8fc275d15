"""Fixtures of tests in a browser: one Chromium, fresh profiles of it, and sites to visit."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.browser.certificate import Certificate, certify
from tests.browser.chromium import Chromium, DevTools, connected
from tests.browser.page import Profile, profile
from tests.browser.stage import Stage
from tests.browser.stock_page import is_served
from tests.harness.fixtures import log_entries

__all__ = ["log_entries"]

collect_ignore = [] if is_served(os.environ.get("CLOUDREVE_URL")) else ["test_stock_page.py"]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Give what sites show that are on https."""
    return certify(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def chromium(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Run one for all tests, each of which opens profiles of its own."""
    program = Chromium(tmp_path_factory.mktemp("chromium"), certificate.flag)
    try:
        yield program.start()
    finally:
        program.stop()


@pytest.fixture
async def devtools(chromium: Chromium) -> AsyncIterator[DevTools]:
    async with connected(chromium) as connection:
        yield connection


@pytest.fixture
async def visitor(devtools: DevTools) -> AsyncIterator[Profile]:
    """Open a profile that knows nothing yet."""
    async with profile(devtools) as opened:
        yield opened


@pytest.fixture
async def other(devtools: DevTools) -> AsyncIterator[Profile]:
    async with profile(devtools) as opened:
        yield opened


@pytest.fixture
async def stage(certificate: Certificate) -> AsyncIterator[Stage]:
    """Give the means to open sites on https."""
    async with AsyncExitStack() as stack:
        yield Stage(certificate.tls, stack)


@pytest.fixture
async def plain_stage() -> AsyncIterator[Stage]:
    """Give the means to open sites on plain http."""
    async with AsyncExitStack() as stack:
        yield Stage(None, stack)


@pytest.fixture(params=["https", "http"])
async def either_stage(request: pytest.FixtureRequest, certificate: Certificate) -> AsyncIterator[Stage]:
    """Give the means to open sites, on https and on http."""
    async with AsyncExitStack() as stack:
        yield Stage(certificate.tls if request.param == "https" else None, stack)
