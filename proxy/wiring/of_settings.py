"""The objects that the settings alone make."""

from __future__ import annotations

import secrets

import structlog

from proxy.domain.seal import Sealer
from proxy.domain.sniff import SNIFF_BYTES, media_type
from proxy.http.embed import Fallback
from proxy.settings import Settings

_log = structlog.get_logger("proxy.wiring.process")


def fallback_of(settings: Settings) -> Fallback | None:
    """Give the picture that is sent in place of an error, if there is one."""
    path = settings.embed.fallback
    if path is None:
        return None
    body = path.read_bytes()
    return Fallback(media_type(body[:SNIFF_BYTES]) or "application/octet-stream", body)


def sealer_of(settings: Settings) -> Sealer:
    """Make what seals URLs and cookies."""
    keys = [key.get_secret_value() for key in settings.seal.keys]
    if not keys:
        _log.warning("no seal.keys: sealed URLs and cookies open in this process only, and not after a restart")
    return Sealer(keys or [secrets.token_urlsafe(32)])
