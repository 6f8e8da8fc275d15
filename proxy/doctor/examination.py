"""Runs all checks: Cloudreve first, for no picture can be tried without it, and then Redis."""

from __future__ import annotations

from contextlib import AsyncExitStack

import aiohttp

from proxy.doctor.finding import Finding, Verdict, has_problems
from proxy.doctor.picture import ThumbnailSteps, examine_picture
from proxy.doctor.site import examine_site
from proxy.doctor.store import examine_redis
from proxy.domain.ssrf import Origins
from proxy.observe.span import Observer
from proxy.settings import Settings
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.images import Images, public_socket


async def examine(settings: Settings, uri: str | None) -> list[Finding]:
    """Look at everything that can be looked at; the File URI is tried as an anonymous visitor."""
    clock = Clock()
    async with AsyncExitStack() as stack:
        trusted = await stack.enter_async_context(_session())
        guarded = await stack.enter_async_context(_session(aiohttp.TCPConnector(socket_factory=public_socket)))
        findings = await examine_site(trusted, clock, settings.cloudreve)
        if not has_problems(findings):
            findings += await _examine_way(uri, settings, clock, trusted, guarded)
    return findings + await examine_redis(settings.redis, settings.server.workers)


async def _examine_way(
    uri: str | None,
    settings: Settings,
    clock: Clock,
    trusted: aiohttp.ClientSession,
    guarded: aiohttp.ClientSession,
) -> list[Finding]:
    if uri is None:
        text = "Not tried: give --uri with a File URI that anybody may see, such as a picture in a share."
        return [Finding(Verdict.ADVICE, "picture", text)]
    site = settings.cloudreve
    origins = Origins(site.url, site.public_origins, site.image_hosts)
    cloudreve = Cloudreve(trusted, clock, origins, Observer(), site, settings.grants)
    images = Images(trusted, guarded, origins, site)
    return await examine_picture(uri, ThumbnailSteps(settings, clock, origins, cloudreve, images))


def _session(connector: aiohttp.TCPConnector | None = None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
