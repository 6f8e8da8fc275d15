"""Compares Cloudreve's site URL with the addresses in the configuration."""

from __future__ import annotations

from proxy.doctor.finding import Finding, Verdict
from proxy.domain.errors import ProxyError
from proxy.settings import Settings
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.site_url import mismatch

SUBJECT = "site URL"


async def examine_site_url(settings: Settings, cloudreve: Cloudreve) -> list[Finding]:
    """Learn the site URL, where Cloudreve tells it, and say what does not fit."""
    try:
        site_url = await cloudreve.site_url()
    except ProxyError:
        return []
    return [_compared(site_url, settings)] if site_url else []


def _compared(site_url: str, settings: Settings) -> Finding:
    found = mismatch(site_url, settings)
    if found is not None:
        verdict = Verdict.PROBLEM if found.is_grave else Verdict.ADVICE
        return Finding(verdict, SUBJECT, f"{found.reason} {found.advice}", found.remedy)
    where = "as the configuration says" if settings.cloudreve.public_origins else "where the gateway reaches it too"
    return Finding(Verdict.OK, SUBJECT, f"Cloudreve's site URL is {site_url}, {where}.")
