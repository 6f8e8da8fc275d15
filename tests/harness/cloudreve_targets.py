"""The client of the contract suite, and the two Cloudreves it may talk to: the stand-in, and a real one."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

import aiohttp
from yarl import URL

from proxy.standin.painting import paint
from proxy.standin.standin import StandIn

OAUTH_SCOPES = "openid profile"
REDIRECT_URI = "http://127.0.0.1:8080/session/callback"
NAMES = ("ALICE_TOKEN", "BOB_TOKEN", "ALICE_ID", "BOB_ID", "SHARE", "PRIVATE_SHARE", "FILE_SHARE")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def json(self) -> dict[str, Any]:
        """Parse the body; keys keep their order."""
        value: dict[str, Any] = json.loads(self.body)
        return value

    @property
    def code(self) -> int:
        """Give Cloudreve's code."""
        return int(self.json["code"])

    @property
    def url(self) -> str:
        """Give the image URL of a resolve."""
        return str(self.json["data"]["url"])

    @property
    def entity(self) -> str:
        """Give the entity id in the image URL of a resolve."""
        return urlsplit(self.url).path.split("/")[5]


class Target(Protocol):
    """A Cloudreve, seeded, and what the suite cannot do by HTTP alone."""

    base: str
    alice: str
    bob: str
    alice_id: str
    bob_id: str
    share: str
    private_share: str
    file_share: str

    async def oauth_token(self, scopes: str) -> str:
        """Get alice's token for an OAuth client."""

    async def together(self, calls: list[Coroutine[Any, Any, Result]]) -> list[Result]:
        """Carry out calls of one fresh picture so that they meet while it is being generated."""


class StandInTarget:
    """The stand-in; overlap is forced by a gate."""

    def __init__(self, cloudreve: StandIn) -> None:
        library = cloudreve.library
        self._cloudreve = cloudreve
        self.base = cloudreve.own_url
        self.alice, self.bob = cloudreve.token("alice"), cloudreve.token("bob")
        self.alice_id, self.bob_id = library.alice.id, library.bob.id
        self.share, self.private_share = library.share.id, library.private_share.id
        self.file_share = library.file_share.id

    async def oauth_token(self, scopes: str) -> str:
        """Sign one."""
        return self._cloudreve.token("alice", client="a client", scopes=tuple(scopes.split()))

    async def together(self, calls: list[Coroutine[Any, Any, Result]]) -> list[Result]:
        """Open the gate when every call but the generating one has its answer, or all wait."""
        self._cloudreve.generator.gate = gate = asyncio.Event()
        arrived = len(self._cloudreve.calls.of("resolve")) + len(calls)
        tasks = [asyncio.create_task(call) for call in calls]
        await self._cloudreve.calls.arrived("resolve", arrived)
        gate.set()
        return await asyncio.gather(*tasks)


class RealTarget:
    """A real Cloudreve, from the names that its seed writes."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.base = env["CLOUDREVE_URL"].rstrip("/")
        self.alice, self.bob, self.alice_id, self.bob_id = (env[name] for name in NAMES[:4])
        self.share, self.private_share, self.file_share = (env[name] for name in NAMES[4:])

    async def oauth_token(self, scopes: str) -> str:
        """Consent as alice, and exchange the code."""
        consent = {"client_id": self._env["OAUTH_CLIENT"], "redirect_uri": REDIRECT_URI, "scope": scopes}
        consent |= {"response_type": "code", "state": "state"}
        form = {"client_id": self._env["OAUTH_CLIENT"], "client_secret": self._env["OAUTH_SECRET"]}
        headers = {"Authorization": f"Bearer {self.alice}"}
        async with aiohttp.ClientSession(self.base + "/api/v4/session/oauth/") as session:
            answer = await (await session.post("consent", json=consent, headers=headers)).json()
            form |= {"grant_type": "authorization_code", "code": answer["data"]["code"]}
            return str((await (await session.post("token", data=form)).json())["access_token"])

    async def together(self, calls: list[Coroutine[Any, Any, Result]]) -> list[Result]:
        """Let them meet by themselves: generation takes long enough."""
        return await asyncio.gather(*calls)


class Client:
    """Asks one target, exactly as told: nothing is normalised, decoded or followed."""

    def __init__(self, target: Target, session: aiohttp.ClientSession) -> None:
        self.target = target
        self._session = session
        self._uploaded: set[str] = set()

    async def send(
        self, method: str, where: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Reply:
        """Send one request to a path of the target, or to a whole URL."""
        url = URL(where if where.startswith("http") else self.target.base + where, encoded=True)
        async with self._session.request(method, url, headers=headers, data=body, allow_redirects=False) as response:
            return Reply(response.status, response.headers, await response.read())

    async def resolve(self, uri: str, token: str | None = None, hint: str | None = None) -> Reply:
        """Ask for a thumbnail's URL."""
        headers = {"X-Cr-Context-Hint": hint} if hint else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.send("GET", f"/api/v4/file/thumb?uri={quote(uri, safe='')}", headers)

    async def fetch(self, url: str, **headers: str) -> Reply:
        """Follow an image URL; header names are written with underscores."""
        return await self.send("GET", url, {name.replace("_", "-"): value for name, value in headers.items()})

    async def post(self, path: str, value: object) -> Reply:
        """Send JSON."""
        return await self.send("POST", path, {"Content-Type": "application/json"}, json.dumps(value).encode())

    async def fresh(self, extension: str = "png", body: bytes | None = None, uri: str = "") -> str:
        """Upload a file of alice's for which no thumbnail exists; a new version of one when its URI is given."""
        uri = uri or f"cloudreve://my/contract-{uuid4().hex}.{extension}"
        headers = {"Authorization": f"Bearer {self.target.alice}", "Content-Type": "application/octet-stream"}
        picture = body if body is not None else paint(int(uuid4()) % 97)
        reply = await self.send("PUT", f"/api/v4/file/content?uri={quote(uri, safe='')}", headers, picture)
        assert reply.code == 0, reply.json
        self._uploaded.add(uri)
        return uri

    async def tidy(self) -> None:
        """Delete what has been uploaded."""
        if self._uploaded:
            body = json.dumps({"uris": sorted(self._uploaded), "skip_soft_delete": True}).encode()
            headers = {"Authorization": f"Bearer {self.target.alice}", "Content-Type": "application/json"}
            await self.send("DELETE", "/api/v4/file", headers, body)


def targets() -> list[str]:
    """List what the suite runs against: the stand-in always, a real Cloudreve when the environment names one."""
    return ["stand-in", "real"] if os.environ.get("CLOUDREVE_URL") else ["stand-in"]


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[Target]:
    """Start the stand-in, or reach the real one."""
    if name == "real":
        yield RealTarget(os.environ)
    else:
        async with StandIn() as cloudreve:
            yield StandInTarget(cloudreve)
