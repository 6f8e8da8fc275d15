"""The objects that the settings alone make."""

from __future__ import annotations

import secrets

import structlog

from proxy.domain.seal import Sealer
from proxy.domain.sniff import SNIFF_BYTES, media_type
from proxy.grants.terms import Times
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


def times_of(settings: Settings) -> Times:
    """Give the times of grants and refusals."""
    grants, refusals = settings.grants, settings.refusals
    return Times(
        max_ttl_s=grants.max_ttl_s,
        renew_s=grants.renew_s,
        stale_if_error_s=grants.stale_if_error_s,
        not_found_s=refusals.not_found_s,
        denied_s=refusals.denied_s,
        resolve_timeout_s=settings.cloudreve.resolve_timeout_s,
    )
