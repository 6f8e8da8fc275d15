"""Runs all checks: Cloudreve first, for nothing else of it can be tried without it; then disk and Redis."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from proxy.doctor.accounts import Attempt, sign_in
from proxy.doctor.cloudreve_api import CloudreveApi
from proxy.doctor.disk import examine_disk
from proxy.doctor.finding import Finding, Verdict, has_problems
from proxy.doctor.front import examine_front, examine_trust
from proxy.doctor.image_hosts import examine_hosts
from proxy.doctor.links import uri_of
from proxy.doctor.oauth_client import examine_oauth
from proxy.doctor.picture import ThumbnailSteps, examine_picture
from proxy.doctor.site import examine_site
from proxy.doctor.site_url import examine_site_url
from proxy.doctor.store import examine_redis
from proxy.domain.errors import ProxyError
from proxy.domain.ssrf import Origins
from proxy.observe.span import Observer
from proxy.settings import CloudreveSettings, Settings
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.images import Images, public_socket
from proxy.upstream.oauth import OAuth
from proxy.upstream.trust import trust


async def examine(settings: Settings, uri: str | None) -> list[Finding]:
    """Look at everything that can be looked at; `uri` is a File URI or a share's link, tried for who would see it."""
    clock = Clock()
    async with AsyncExitStack() as stack:
        trusted = await stack.enter_async_context(_session(settings.cloudreve))
        guarded = await stack.enter_async_context(_session(settings.cloudreve, socket_factory=public_socket))
        findings = await examine_site(trusted, clock, settings.cloudreve)
        if not has_problems(findings):
            findings += await _Examination(settings, clock, trusted, guarded).run(uri)
    findings += examine_trust(settings) + examine_disk(settings.disk)
    return findings + await examine_redis(settings.redis, settings.server.workers)


class _Examination:
    """The part that needs a Cloudreve that answers."""

    def __init__(
        self, settings: Settings, clock: Clock, trusted: aiohttp.ClientSession, guarded: aiohttp.ClientSession
    ) -> None:
        site, observer = settings.cloudreve, Observer()
        origins = Origins(site.url, site.public_origins, site.image_hosts)
        cloudreve = Cloudreve(trusted, clock, origins, observer, site, settings.grants)
        self._settings = settings
        self._session = trusted
        self._cloudreve = cloudreve
        self._api = CloudreveApi(trusted, site)
        self._oauth = OAuth(cloudreve, observer, settings.sign_in)
        self._steps = ThumbnailSteps(settings, clock, origins, cloudreve, Images(trusted, guarded, origins, site))

    async def run(self, uri: str | None) -> list[Finding]:
        entries = enumerate(self._settings.publish)
        attempts = [await sign_in(number, entry, self._oauth, self._api) for number, entry in entries]
        findings = [finding for attempt in attempts for finding in attempt.findings]
        tokens = {attempt.number: attempt.token for attempt in attempts if attempt.token}
        findings += await self._events([attempt for attempt in attempts if not has_problems(attempt.findings)])
        token = next(iter(tokens.values()), "")
        findings += await examine_oauth(self._settings, self._api, self._oauth, token)
        findings += await examine_site_url(self._settings, self._cloudreve)
        return findings + await self._picture(uri, tokens)

    async def _events(self, attempts: list[Attempt]) -> list[Finding]:
        """Try whether Cloudreve tells of changes in the published folders."""
        silent = [attempt.number + 1 for attempt in attempts if not await self._subscribes(attempt)]
        if silent:
            folder = f"the folder of [[publish]] number {silent[0]}"
            text = f"Cloudreve tells nothing of changes in {folder}: they show when grants end."
            return [Finding(Verdict.ADVICE, "events", text)]
        told = Finding(Verdict.OK, "events", "Cloudreve tells of changes in the published folders.")
        return [told] if attempts else []

    async def _subscribes(self, attempt: Attempt) -> bool:
        return await self._api.subscribes(self._settings.publish[attempt.number].prefix, attempt.token)

    async def _picture(self, given: str | None, tokens: dict[int, str]) -> list[Finding]:
        if given is None:
            text = "Not tried: give --uri with the link of a share, or the File URI of a picture that anybody may see."
            findings = [Finding(Verdict.ADVICE, "picture", text)]
            return findings + await examine_front(self._settings, self._session, None)
        try:
            uri = await uri_of(given, self._api)
        except ProxyError as error:
            return [Finding(Verdict.PROBLEM, "picture", error.detail or error.title)]
        findings = await examine_picture(uri, self._steps, tokens)
        findings += await examine_hosts(uri, self._api, self._steps)
        return findings + await examine_front(self._settings, self._session, uri)


def _session(settings: CloudreveSettings, **more: Any) -> aiohttp.ClientSession:  # noqa: ANN401 - passed on as is
    connector = aiohttp.TCPConnector(ssl=trust(settings.ca_file), **more)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
