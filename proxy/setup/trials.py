"""Tries each answer at once, with the doctor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
from pydantic import ValidationError

from proxy.doctor.accounts import sign_in
from proxy.doctor.cloudreve_api import CloudreveApi
from proxy.doctor.disk import examine_disk
from proxy.doctor.finding import Finding, Verdict
from proxy.doctor.front import SUBJECT
from proxy.doctor.site import examine_site
from proxy.doctor.store import examine_redis
from proxy.domain.ssrf import Origins
from proxy.observe.span import Observer
from proxy.settings import DiskSettings, PublishSettings, Settings
from proxy.settings.problems import Given, bad_value
from proxy.setup.answers import Published
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.oauth import OAuth

_ANYWHERE = "http://127.0.0.1"


def before_the_start(findings: Sequence[Finding]) -> list[Finding]:
    """Take it for advice that no reverse proxy leads to a gateway which has not been started yet."""
    return [_expected(each) if each.subject == SUBJECT else each for each in findings]


def _expected(finding: Finding) -> Finding:
    if finding.verdict is not Verdict.PROBLEM:
        return finding
    text = f"{finding.text} So it is until the gateway runs and a reverse proxy leads to it, as that of `install` does."
    return replace(finding, verdict=Verdict.ADVICE, text=text)


async def try_cloudreve(url: str) -> list[Finding]:
    """Reach Cloudreve."""
    if found := _refused("cloudreve.url", url):
        return found
    async with aiohttp.ClientSession() as session:
        return await examine_site(session, Clock(), _settings("cloudreve.url", url).cloudreve)


def try_public_origin(origin: str) -> list[Finding]:
    """Read the address that visitors use."""
    return _refused("server.public_origin", origin) if origin else []


async def try_redis(url: str) -> list[Finding]:
    """Connect, write and read."""
    if not url:
        return []
    return _refused("redis.url", url) or await examine_redis(_settings("redis.url", url).redis)


def try_disk(path: str) -> list[Finding]:
    """Look for room."""
    if not path:
        return []
    return _refused("disk.path", path) or examine_disk(DiskSettings(path=Path(path)))


async def try_publish(number: int, published: Published, cloudreve_url: str) -> list[Finding]:
    """Sign the account in."""
    try:
        entry = PublishSettings.model_validate(
            {"prefix": published.prefix, "email": published.email or None, "secret": published.secret}
        )
    except ValidationError as error:
        reasons = "; ".join(str(details.get("ctx", {}).get("error", details["msg"])) for details in error.errors())
        return [Finding(Verdict.PROBLEM, "account", f"This is not accepted: {reasons}.")]
    settings = _settings("cloudreve.url", cloudreve_url)
    site = settings.cloudreve
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        cloudreve = Cloudreve(session, Clock(), Origins(site.url), Observer(), site, settings.grants)
        oauth = OAuth(cloudreve, Observer(), settings.sign_in)
        return (await sign_in(number, entry, oauth, CloudreveApi(session, site))).findings


def _settings(key: str, value: str) -> Settings:
    section, _, name = key.partition(".")
    tables: dict[str, dict[str, str]] = {"cloudreve": {"url": _ANYWHERE}}
    tables.setdefault(section, {})[name] = value
    return Settings.model_validate(tables)


def _refused(key: str, value: str) -> list[Finding]:
    """Say why a setting would not be accepted; nothing where it would."""
    try:
        _settings(key, value)
    except ValidationError as error:
        given = {key: Given(value, "your answer")}
        return [Finding(Verdict.PROBLEM, key, bad_value(details, given)) for details in error.errors()]
    return []
