"""Cloudreve's site URL beside the addresses of the configuration."""

from __future__ import annotations

import pytest

from proxy.doctor.finding import Verdict
from proxy.standin.standin import StandIn
from tests.doctor.conftest import Examine

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


async def test_a_text_without_a_share_tells_no_site_url(found: Examine) -> None:
    assert await found("site URL", "cloudreve://my/album/one.png") == []
