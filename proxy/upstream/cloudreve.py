"""Asks Cloudreve's API: resolve, whoami, a share's owner and terms, a folder's listing, ping."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import aiohttp
from yarl import URL

from proxy.domain.credentials import Credentials
from proxy.domain.errors import ProxyError, Refused, TooSlow, Unreachable, UpstreamError
from proxy.domain.file_uri import FileUri
from proxy.domain.freshness import fresh_until
from proxy.domain.grant import Grant, Resolution
from proxy.domain.keys import picture_of
from proxy.domain.refusal import Generating, Refusal, RefusalKind
from proxy.domain.ssrf import Origins
from proxy.domain.storage_errors import BrokenOff, Untrusted
from proxy.observe.span import Kind, Observer
from proxy.settings import CloudreveSettings, GrantSettings
from proxy.upstream.answers import (
    Link,
    lacks_user,
    read_share_owner,
    read_share_terms,
    read_site_url,
    read_thumb,
    read_whoami,
)
from proxy.upstream.breaker import UpstreamBreaker
from proxy.upstream.clock import Clock
from proxy.upstream.deobfuscate import deobfuscate
from proxy.upstream.listing import PAGE_SIZE, Page, read_page

NO_USER_CODE = 50001
MAX_ANSWER_BYTES = 1024 * 1024
"""Cloudreve's JSON takes a few hundred bytes; a lock conflict carries a list."""


class Cloudreve:
    """Calls Cloudreve's API at its internal address.

    On thumbnail routes nothing else sends a visitor's credentials; with pass-through, `passthrough/client` does.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Clock,
        origins: Origins,
        observer: Observer,
        cloudreve: CloudreveSettings,
        grants: GrantSettings,
    ) -> None:
        self._session = session
        self._clock = clock
        self._origins = origins
        self._observer = observer
        self._base = cloudreve.url.rstrip("/")
        self._settings = cloudreve
        self._terms = grants
        self.breaker = UpstreamBreaker(self.ping, cloudreve.probe_s)

    async def resolve(self, uri: FileUri, credentials: Credentials) -> Resolution:
        """Ask for the signed thumbnail URL (docs/cloudreve.md, resolve).

        Not cancelled at a visitor's deadline: when a caller leaves while its thumbnail is generated, Cloudreve may
        attach it to another user's file, or keep the file locked for a day (docs/cloudreve.md, Generating). The
        caller's flight outlives its visitors for this reason.

        Everything that is sent is in the grant's key, constant, or names the trace. `X-Cr-Context-Hint` is not sent:
        with it Cloudreve answers from a folder tree of up to five minutes ago (docs/cloudreve.md, Context hint), so
        that a file moved out of a published folder would be granted to everybody.
        """
        target = URL(f"{self._base}/api/v4/file/thumb?uri={quote(uri.text, safe='')}", encoded=True)
        headers = _headers(credentials)
        asked_at = self._clock.now()
        with self._observer.span("resolve", Kind.CALL) as call, self.breaker.call():
            body = await self._get(target, headers, self._settings.resolve_timeout_s)
            if credentials.bearer is not None:
                await self._check_user(body)
            answer = read_thumb(body)
            resolution = self._resolution(answer, min(asked_at, self._clock.now()))  # the answer may have set the clock
            call.outcome = type(resolution).__name__.lower()
            return resolution

    async def whoami(self, bearer: str) -> str | None:
        """Ask whose token this is: the user's id; None when Cloudreve does not accept it (docs/cloudreve.md, whoami).

        Raises Refused for the token of a user who is banned or deleted.
        """
        with self._observer.span("whoami", Kind.CALL) as call, self.breaker.call():
            body = await self._userinfo(Credentials(bearer))
            await self._check_user(body)
            subject = read_whoami(body)
            call.outcome = "identity" if subject else "refusal"
            return subject

    async def _userinfo(self, credentials: Credentials) -> bytes:
        target = URL(f"{self._base}/api/v4/session/oauth/userinfo")
        return await self._get(target, _headers(credentials), self._settings.whoami_timeout_s)

    async def _check_user(self, body: bytes) -> None:
        """Raise Refused where Cloudreve found no active user behind the token, Unreachable where its database is away.

        Both look the same to the holder of a token; without a token, Cloudreve asks for a sign-in only while its
        database answers.
        """
        correlation_id = lacks_user(body)
        if correlation_id is None:
            return
        if lacks_user(await self._userinfo(Credentials())) is not None:
            raise Unreachable("Cloudreve's database does not answer at the moment.")
        raise Refused(Refusal(RefusalKind.FORBIDDEN, NO_USER_CODE, correlation_id))

    async def share_owner(self, share: str) -> str:
        """Ask whose share this is: a user's id; empty where Cloudreve does not say (docs/cloudreve.md, Changes)."""
        with self._observer.span("share", Kind.CALL) as call, self.breaker.call():
            target = URL(f"{self._base}/api/v4/share/info/{share}", encoded=True)
            body = await self._get(target, _headers(Credentials()), self._settings.connect_timeout_s)
            owner = read_share_owner(body)
            call.outcome = "owner" if owner else "refusal"
            return owner

    async def share_terms(self, share: str, password: str) -> bytes:
        """Give a digest that changes when a share is edited, ended or deleted (docs/cloudreve.md, Changes)."""
        with self._observer.span("share", Kind.CALL) as call, self.breaker.call():
            query = f"?password={quote(password, safe='')}" if password else ""
            target = URL(f"{self._base}/api/v4/share/info/{share}{query}", encoded=True)
            body = await self._get(target, _headers(Credentials()), self._settings.connect_timeout_s)
            call.outcome = "terms"
            return read_share_terms(body)

    async def site_url(self) -> str:
        """Ask for the origin that links and image URLs begin with; empty where Cloudreve does not tell.

        The page of a share that is not there tells it to crawlers (docs/cloudreve.md, Shares and apps).
        """
        with self._observer.span("site_url", Kind.CALL) as call:
            target, timeout_s = URL(f"{self._base}/s/_"), self._settings.connect_timeout_s
            page = await self._get(target, {"User-Agent": "Twitterbot"}, timeout_s)
            call.outcome = "ok"
            return read_site_url(page)

    async def ping(self) -> None:
        """Reach Cloudreve and learn its clock."""
        with self._observer.span("ping", Kind.CALL) as call:
            await self._get(URL(f"{self._base}/api/v4/site/ping"), {}, self._settings.connect_timeout_s)
            call.outcome = "ok"

    async def list(self, folder: FileUri, credentials: Credentials, token: str = "", hint: str = "") -> Page:
        """Give a page of what is in a folder (docs/cloudreve.md, Listing); raise Refused where it may not be listed.

        The context hint goes with listings alone: what is shown is decided by a resolve of its own.
        """
        query = f"uri={quote(folder.text, safe='')}&page_size={PAGE_SIZE}&next_page_token={quote(token, safe='')}"
        target = URL(f"{self._base}/api/v4/file?{query}", encoded=True)
        headers = _headers(credentials) | ({"X-Cr-Context-Hint": hint} if hint else {})
        with self._observer.span("list", Kind.CALL) as call, self.breaker.call():
            page = read_page(await self._get(target, headers, self._settings.fetch_timeout_s))
            call.outcome = "page"
            return page

    async def send(self, method: str, path: str, body: bytes, media_type: str) -> bytes:
        """Send a body to a path of the API, without credentials, and return the answer's body; for `OAuth`."""
        headers = {"Accept": "application/json", "Content-Type": media_type}
        with self.breaker.call():
            return await self._ask(method, URL(self._base + path), headers, self._settings.whoami_timeout_s, body)

    def _resolution(self, answer: Link | Refusal | Generating, asked_at: float) -> Resolution:
        match answer:
            case Link():
                return self._grant(answer, asked_at)
            case Refusal():
                return replace(answer, asked_at=asked_at)
            case _:
                return answer

    def _grant(self, link: Link, asked_at: float) -> Grant:
        now = self._clock.now()
        url = deobfuscate(link.url, now) if link.obfuscated else link.url
        target = self._origins.target(url)
        name = picture_of(url, internal=target.internal)
        until = fresh_until(
            link.expires,
            now,
            margin_s=self._terms.margin_s,
            max_ttl_s=self._terms.max_ttl_s,
            default_ttl_s=self._terms.default_ttl_s,
        )
        return Grant(url, until, name.id, name.own, granted_at=asked_at)

    async def _get(self, url: URL, headers: dict[str, str], timeout_s: float) -> bytes:
        return await self._ask("GET", url, headers, timeout_s)

    async def _ask(
        self, method: str, url: URL, headers: dict[str, str], timeout_s: float, body: bytes | None = None
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=self._settings.connect_timeout_s)
        headers = {
            **headers,
            **self._observer.trace_fields(),
            "Accept-Encoding": "identity",  # a front end may know others, nobody here undoes them
        }
        asked_at = self._clock.ours()
        try:
            async with self._session.request(
                method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False
            ) as response:
                self._clock.observe(response.headers.get("Date"), asked_at)
                return await _read(response)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise translated(error) from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise UpstreamError("Cloudreve's answer is too large.")
    if response.status in (429, 502, 503, 504):  # a front end speaks here, not Cloudreve
        raise Unreachable("Cloudreve is not available at the moment.")
    return bytes(body)


def _headers(credentials: Credentials) -> dict[str, str]:
    headers = {"Accept": "application/json"}
    if credentials.bearer is not None:
        headers["Authorization"] = f"Bearer {credentials.bearer}"
    return headers | dict(credentials.fields)


_TRANSLATIONS: tuple[tuple[type[Exception], type[ProxyError], str], ...] = (
    (aiohttp.ConnectionTimeoutError, Unreachable, "No connection to upstream in time."),
    (TimeoutError, TooSlow, "Upstream did not answer in time."),
    (aiohttp.ClientConnectorCertificateError, Untrusted, "The certificate of upstream is not trusted."),
    (aiohttp.ClientSSLError, Unreachable, "Upstream does not speak TLS as it should."),
    (aiohttp.ClientConnectionError, Unreachable, "The connection to upstream failed."),
    (aiohttp.ClientPayloadError, BrokenOff, "Upstream broke its answer off."),
    (aiohttp.ClientError, UpstreamError, "Upstream broke HTTP."),
)
"""The first that fits counts."""


def translated(error: TimeoutError | aiohttp.ClientError) -> ProxyError:
    """Return our error for one of aiohttp's, without its message, which may hold a signed URL."""
    return next(ours(text) for kind, ours, text in _TRANSLATIONS if isinstance(error, kind))
