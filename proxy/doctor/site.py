"""Checks that Cloudreve can be reached, its version, its latency and its clock."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import aiohttp
import msgspec
from yarl import URL

from proxy.doctor.finding import Finding, Verdict
from proxy.doctor.unreachable import reason

if TYPE_CHECKING:
    from proxy.settings import CloudreveSettings
    from proxy.upstream.clock import Clock

PINGS = 5
MAX_SKEW_S = 2.0
"""A smaller difference may come from the precision of `Date` and from a slow answer."""
SLOW_S = 0.25
_MAX_PING_BYTES = 65536


class _Ping(msgspec.Struct):
    code: int
    data: str


class _NotCloudreve(Exception):
    """Something else answered; the text says what."""


async def examine_site(session: aiohttp.ClientSession, clock: Clock, settings: CloudreveSettings) -> list[Finding]:
    """Reach Cloudreve a few times; set the clock."""
    try:
        pings = [await _ping(session, clock, settings) for _ in range(PINGS)]
    except _NotCloudreve as error:
        return [Finding(Verdict.PROBLEM, "cloudreve", f"{settings.url} answers, but {error}")]
    except (aiohttp.ClientError, TimeoutError) as error:
        why = reason(error, connect_s=settings.connect_timeout_s, answer_s=settings.whoami_timeout_s)
        return [Finding(Verdict.PROBLEM, "cloudreve", f"{settings.url} cannot be reached: {why}.")]
    version = pings[0][0]
    return [_version(version), _latency(settings.url, [latency_s for _, latency_s in pings]), _skew(clock)]


async def _ping(session: aiohttp.ClientSession, clock: Clock, settings: CloudreveSettings) -> tuple[str, float]:
    """Return Cloudreve's version and the seconds it took to say it."""
    url = URL(f"{settings.url}/api/v4/site/ping")
    timeout = aiohttp.ClientTimeout(total=settings.whoami_timeout_s, sock_connect=settings.connect_timeout_s)
    started = time.perf_counter()
    async with session.get(url, timeout=timeout, allow_redirects=False) as response:
        body = await response.content.read(_MAX_PING_BYTES)
        latency_s = time.perf_counter() - started
        clock.observe(response.headers.get("Date"))
        return _read_version(response, body), latency_s


def _read_version(response: aiohttp.ClientResponse, body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Ping).data
    except msgspec.MsgspecError:
        pass
    location = response.headers.get("Location")
    if location:
        raise _NotCloudreve(
            f"redirects to {_origin(response.url, location)}; cloudreve.url has to be the final address."
        )
    raise _NotCloudreve(f"not as Cloudreve v4 does (HTTP {response.status}); is this the right host and port?")


def _origin(base: URL, location: str) -> str:
    """Return where a redirect leads, as far as it may be shown."""
    try:
        return str(base.join(URL(location)).origin())
    except ValueError:
        return "another address"


def _version(version: str) -> Finding:
    if version.startswith("4."):
        return Finding(Verdict.OK, "cloudreve", f"This is Cloudreve {version[:40]}.")
    return Finding(
        Verdict.PROBLEM, "cloudreve", f"This is Cloudreve {version[:40]!r}; the gateway speaks to version 4."
    )


def _latency(url: str, latencies_s: list[float]) -> Finding:
    median_s = statistics.median(latencies_s)
    text = f"{url} answers in {median_s * 1000:.1f} ms (median of {len(latencies_s)})."
    if median_s < SLOW_S:
        return Finding(Verdict.OK, "latency", text)
    return Finding(Verdict.ADVICE, "latency", f"{text} Every miss costs that twice: run the gateway nearer to it.")


def _skew(clock: Clock) -> Finding:
    if not clock.is_set:
        return Finding(Verdict.ADVICE, "clock", "Cloudreve sends no Date, so its clock has to be taken for ours.")
    if abs(clock.skew_s) <= MAX_SKEW_S:
        return Finding(Verdict.OK, "clock", "Cloudreve's clock and ours agree.")
    direction = "ahead of" if clock.skew_s > 0 else "behind"
    difference = f"Cloudreve's clock is {abs(clock.skew_s):.0f} s {direction} ours."
    text = f"{difference} The gateway allows for it; NTP would set it right."
    return Finding(Verdict.ADVICE, "clock", text)
