"""Fixtures of the doctor's tests: a stand-in site, and the findings of one examination of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from proxy.doctor.examination import examine
from proxy.doctor.finding import Finding
from proxy.settings import Settings
from proxy.standin.standin import StandIn

Examine = Callable[..., Awaitable[list[Finding]]]
"""Examines the stand-in with tables of settings, and gives the findings on one subject."""


@pytest.fixture
def found(cloudreve: StandIn) -> Examine:
    """Give a function that examines the site and gives what it found about a subject."""

    async def found(subject: str, uri: str | None = None, **tables: object) -> list[Finding]:
        site = {"url": cloudreve.own_url} | dict(tables.pop("cloudreve", {}))  # type: ignore[call-overload]
        findings = await examine(Settings.model_validate({"cloudreve": site} | tables), uri)
        return [finding for finding in findings if finding.subject == subject]

    return found
