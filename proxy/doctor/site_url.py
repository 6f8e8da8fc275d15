"""Compares Cloudreve's site URL with the addresses in the configuration."""

from __future__ import annotations

import json
import re

from yarl import URL

from proxy.doctor.cloudreve_api import CloudreveApi, Share
from proxy.doctor.finding import Finding, Verdict
from proxy.domain.errors import ProxyError
from proxy.settings import Settings

SUBJECT = "site URL"
_ADVICE = "Enter it in Cloudreve's settings (Basic): links, sign-in and image URLs begin with it."


async def examine_site_url(share: str, settings: Settings, api: CloudreveApi) -> list[Finding]:
    """Learn the site URL from the link of a share, and say what does not fit it."""
    try:
        answer = await api.share(share)
        link = answer.read(Share).url if not answer.code else ""
        origin = str(URL(link).origin())
    except (ProxyError, ValueError):
        return []
    return [_compared(origin, settings)]


def _compared(origin: str, settings: Settings) -> Finding:
    public, wanted = settings.cloudreve.public_origins, _origin(settings.server.public_origin)
    if settings.server.passthrough and wanted and origin != wanted:
        text = f"Cloudreve's site URL is {origin}, but visitors come to {wanted} (server.public_origin). {_ADVICE}"
        return Finding(Verdict.PROBLEM, SUBJECT, text)
    if origin in public:
        return Finding(Verdict.OK, SUBJECT, f"Cloudreve's site URL is {origin}, as the configuration says.")
    if origin == settings.cloudreve.url:
        if not public:
            return Finding(Verdict.OK, SUBJECT, f"Cloudreve's site URL is {origin}, where the gateway reaches it too.")
        text = f"Cloudreve's site URL is {origin}, but cloudreve.public_origins says {public[0]}. {_ADVICE}"
        return Finding(Verdict.ADVICE, SUBJECT, text)
    text = f"Cloudreve's site URL is {origin}, which cloudreve.public_origins does not name."
    return Finding(Verdict.PROBLEM, SUBJECT, text, f"[cloudreve]\npublic_origins = {json.dumps([*public, origin])}")


def _origin(address: str | None) -> str:
    """Give the origin of an address that may have a path."""
    found = re.match(r"[a-z]+://[^/]+", address or "")
    return found[0] if found else ""
