"""Cloudreve's site URL beside the addresses of the configuration."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from proxy.doctor.finding import Verdict
from proxy.domain.errors import ProxyError, Unreachable
from proxy.standin.faults import Says
from proxy.standin.standin import StandIn
from proxy.upstream.site_url import SiteUrlCheck
from tests.doctor.conftest import Examine
from tests.harness.gateways import settings_for

CLOUD, OLD = "https://cloud.invalid", "https://old.invalid"
ITSELF = ""
"""The stand-in's own address."""


@pytest.mark.parametrize(
    ("site_url", "public_origins", "server", "verdict", "told"),
    [
        (ITSELF, [], {}, Verdict.OK, "where the gateway reaches it"),
        (CLOUD, [OLD, CLOUD], {}, Verdict.OK, "as the configuration says"),
        (CLOUD, [OLD], {}, Verdict.PROBLEM, "public_origins does not name"),
        (ITSELF, [CLOUD], {}, Verdict.ADVICE, "Cloudreve's settings (Basic)"),
        (CLOUD, [CLOUD], {"passthrough": True, "public_origin": CLOUD}, Verdict.OK, "as the configuration says"),
        (OLD, [OLD], {"passthrough": True, "public_origin": CLOUD}, Verdict.PROBLEM, "Cloudreve's settings (Basic)"),
    ],
)
async def test_the_site_url_is_compared(
    site_url: str,
    public_origins: list[str],
    server: dict[str, object],
    verdict: Verdict,
    told: str,
    cloudreve: StandIn,
    found: Examine,
) -> None:
    cloudreve.site_url = site_url
    uri = f"cloudreve://{cloudreve.library.share.id}@share/one.png"
    [finding] = await found("site URL", uri, cloudreve={"public_origins": public_origins}, server=server)
    assert finding.verdict is verdict
    assert told in finding.text
    assert finding.remedy == (
        '[cloudreve]\npublic_origins = ["https://old.invalid", "https://cloud.invalid"]'
        if "does not name" in told
        else ""
    )


@pytest.mark.parametrize(
    "page",
    [b"<title>Cloudreve</title>", b'<meta property="og:url" content="//">', b'<meta property="og:url" content="\xff">'],
)
async def test_a_cloudreve_that_does_not_tell_is_not_compared(page: bytes, cloudreve: StandIn, found: Examine) -> None:
    """An older one has no page for crawlers."""
    cloudreve.fail("site_url", Says(page, "text/html"))
    assert await found("site URL", cloudreve={"public_origins": [CLOUD]}) == []


async def test_a_site_url_that_does_not_fit_is_logged_once() -> None:
    """A Cloudreve that does not answer changes nothing; one that does not tell, or is corrected, ends the trouble."""
    answers: list[str | ProxyError] = [OLD, OLD, Unreachable("Away."), CLOUD, OLD, ""]

    async def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, ProxyError):
            raise answer
        return answer

    check, told = SiteUrlCheck(ask, settings_for("http://127.0.0.1:5212", cloudreve={"public_origins": [CLOUD]})), []
    with capture_logs() as lines:
        while answers:
            await check.look()
            told.append(len(check.troubles()))
    assert told == [1, 1, 1, 0, 1, 0]
    assert [line["event"] for line in lines] == ["site URL does not fit"] * 2
