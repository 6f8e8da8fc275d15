"""Asks the site as visitors reach it: whether the reverse proxy in front sends to the gateway what it should."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_network
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec
from multidict import CIMultiDict
from yarl import URL

from proxy.doctor.finding import Finding, Verdict
from proxy.doctor.unreachable import reason
from proxy.settings import Settings

SUBJECT = "reverse proxy"
SPOOFED = "spoofed.invalid"
_TIMEOUT = aiohttp.ClientTimeout(total=40, sock_connect=5)
_AWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
_MAX_BYTES = 262_144
_REQUEST_ID = "X-Request-Id"
"""Which every error of the gateway has."""


@dataclass(frozen=True, slots=True)
class _Seen:
    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def is_gateway(self) -> bool:
        """Whether the gateway has answered: its errors and pictures say so."""
        has_error = _REQUEST_ID in self.headers and "problem+json" in self.headers.get("Content-Type", "")
        return has_error or "thumb-proxy" in self.headers.get("Cache-Status", "")


class _Envelope(msgspec.Struct):
    data: _Link | None = None


class _Link(msgspec.Struct):
    url: str = ""


def examine_trust(settings: Settings) -> list[Finding]:
    """Say so where everybody is a trusted proxy."""
    wide = [network for network in settings.server.trusted_proxies if ip_network(network).prefixlen == 0]
    if not wide:
        return []
    text = f"server.trusted_proxies has {wide[0]}: every visitor is believed to be a proxy. Name the proxies alone."
    return [Finding(Verdict.PROBLEM, "trusted proxies", text)]


async def examine_front(settings: Settings, session: aiohttp.ClientSession, uri: str | None) -> list[Finding]:
    """Ask for the gateway's paths at the address that visitors use, where the configuration tells one."""
    address = settings.server.public_origin or next(iter(settings.cloudreve.public_origins), None)
    if address is None:
        return []
    front = _Front(settings, session, address)
    try:
        return await front.examine(uri)
    except (TimeoutError, aiohttp.ClientError) as error:
        return [Finding(Verdict.ADVICE, SUBJECT, f"{address} cannot be asked from here: {reason(error)}.")]


@dataclass(frozen=True, slots=True)
class _Front:
    settings: Settings
    session: aiohttp.ClientSession
    address: str

    async def examine(self, uri: str | None) -> list[Finding]:
        thumb = await self._get("/thumb")
        if thumb.status in _AWAY:
            text = f"{self.address} answers, but behind it no gateway does (HTTP {thumb.status}). Does it run?"
            return [Finding(Verdict.PROBLEM, SUBJECT, text)]
        lost = [path for path, seen in (("/thumb", thumb), await self._session()) if not seen.is_gateway]
        if lost:
            text = f"{self.address} does not send {' and '.join(lost)} to the gateway, but elsewhere."
            return [Finding(Verdict.PROBLEM, SUBJECT, text)]
        findings = await self._addresses(uri) if uri is not None else []
        findings += await self._metrics()
        return findings or [Finding(Verdict.OK, SUBJECT, f"{self.address} leads to the gateway.")]

    async def _session(self) -> tuple[str, _Seen]:
        path = self.settings.session.path
        return path, await self._get(path)

    async def _addresses(self, uri: str) -> list[Finding]:
        """Look at the address of the picture that the gateway gives out, and whether a visitor's word changes it."""
        url = await self._link(uri, {})
        if not url:
            return []
        if "/thumb/s/" not in url:
            text = f"{self.address} sends /api/v4/file/thumb past the gateway: Cloudreve's own page profits nothing."
            return [Finding(Verdict.ADVICE, SUBJECT, text)]
        if not urlsplit(url).netloc:
            return [self._untold()]
        if not url.startswith(f"{self.address}/"):
            return [self._differs(url)]
        for name, value in (("X-Forwarded-Host", SPOOFED), ("Forwarded", f"host={SPOOFED}")):
            if SPOOFED in await self._link(uri, {name: value}):
                text = f"A visitor's own {name} is believed: let the proxy set or clear the field, or set this:"
                return [Finding(Verdict.PROBLEM, SUBJECT, text, f'[server]\npublic_origin = "{self.address}"')]
        return []

    async def _metrics(self) -> list[Finding]:
        seen = await self._get("/metrics")
        if b"thumb_proxy_" not in seen.body:
            return []
        return [Finding(Verdict.PROBLEM, SUBJECT, f"{self.address}/metrics shows the admin port to everybody.")]

    async def _link(self, uri: str, headers: dict[str, str]) -> str:
        seen = await self._get(f"/api/v4/file/thumb?uri={quote(uri, safe='')}", headers)
        try:
            data = msgspec.json.decode(seen.body, type=_Envelope).data
        except msgspec.MsgspecError:
            return ""
        return data.url if data else ""

    async def _get(self, path: str, headers: dict[str, str] | None = None) -> _Seen:
        url = URL(self.address + path, encoded=True)
        fields = {"Accept": "application/json"} | (headers or {})
        async with self.session.get(url, headers=fields, timeout=_TIMEOUT, allow_redirects=False) as response:
            return _Seen(response.status, CIMultiDict(response.headers), await response.content.read(_MAX_BYTES))

    def _untold(self) -> Finding:
        text = (
            "The gateway does not learn under which address visitors come: server.trusted_proxies does not name the "
            "reverse proxy, or it sets no X-Forwarded-Host. URLs that the gateway gives out have no host."
        )
        return Finding(Verdict.ADVICE, SUBJECT, text, f'[server]\npublic_origin = "{self.address}"')

    def _differs(self, url: str) -> Finding:
        told = urlsplit(url)
        text = (
            f"The gateway takes {told.scheme}://{told.netloc} for its address, but visitors come to {self.address}: "
            "let the proxy set X-Forwarded-Proto and X-Forwarded-Host, name it in server.trusted_proxies, or set this:"
        )
        return Finding(Verdict.PROBLEM, SUBJECT, text, f'[server]\npublic_origin = "{self.address}"')
