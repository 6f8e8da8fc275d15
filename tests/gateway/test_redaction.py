"""Nothing that a visitor or Cloudreve said in confidence is ever written: not in the log, the metrics or an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import pytest

from proxy.standin import faults
from proxy.standin.faults import Says, json_body, redirect
from proxy.standin.standin import StandIn
from tests.conftest import StartRedis
from tests.harness.gateways import CUT_OFF
from tests.harness.program import Program, serving
from tests.harness.sites import thumb

PASSWORD = "open-sesame-4711"
TICKET = "ticket-4712"
HINT = "47134713-2222-4333-8444-555555555555"
REDIS_PASSWORD = "redis-4714"
SITE_KEY = "site-key-4715"


@dataclass
class Confidant:
    """A visitor who tells the gateway secrets, and remembers what it says to that."""

    session: aiohttp.ClientSession
    base: str
    heard: list[str] = field(default_factory=list)

    async def ask(self, uri: str, **headers: str) -> None:
        """Ask for a thumbnail, and note the answer unless it is a picture."""
        await self.send(thumb(uri), **headers)

    async def send(self, path: str, **headers: str) -> None:
        """Send a request, and note head and body of the answer unless the body is a picture."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with suppress(*CUT_OFF):
            async with self.session.get(self.base + path, headers=named) as response:
                self.heard.append(str(dict(response.headers)))
                body = await response.read()
                if response.content_type != "image/png":
                    self.heard.append(body.decode(errors="replace"))

    async def say(self, raw: bytes) -> None:
        """Send bytes that may be no HTTP at all."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.base.rpartition(":")[2]))
        writer.write(raw)
        with suppress(OSError):
            self.heard.append((await reader.read()).decode(errors="replace"))
        writer.close()


@pytest.fixture
async def program(cloudreve: StandIn, start_redis: StartRedis) -> AsyncIterator[Program]:
    """Run a gateway that writes all it has to say, with a Redis whose password it has wrong."""
    server = start_redis(requirepass="another")
    redis = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{server.port}/0"
    async with serving(
        cloudreve.own_url,
        REDIS__URL=redis,
        CLOUDREVE__FETCH_TIMEOUT_S="0.2",
        SERVER__DEADLINE_S="0.3",
        SERVER__SHUTDOWN_S="0.2",
    ) as running:
        yield running


async def everything(cloudreve: StandIn, visitor: Confidant, token: str) -> None:
    """Go through all that may happen to a request."""
    private = f"cloudreve://{cloudreve.library.private_share.id}:{PASSWORD}@share/one.png"
    cloudreve.library.private_share.password = PASSWORD
    bearer = {"Authorization": f"Bearer {token}", "X_Cr_Purchase_Ticket": TICKET, "X_Cr_Context_Hint": HINT}
    for uri in ("cloudreve://my/album/one.png", private, private.replace(PASSWORD, PASSWORD + "x"), "x:" + PASSWORD):
        for headers in (bearer, {}, {"Authorization": f"Basic {token}"}, {"Authorization": f"Bearer {token}x"}):
            await visitor.ask(uri, **headers)
    spoilers = (
        faults.Reset(), faults.Half(), faults.Truncated(), faults.Hang(), faults.svg(), faults.deep_json(),
        Says(b"rubbish", "text/plain"), json_body('{"code":40005}'), json_body(f'{{"code":5,"msg":"{PASSWORD}"}}'),
        redirect(f"http://127.0.0.1:1/?sign={PASSWORD}"), faults.Huge(), faults.error_page(500),
        json_body(f'{{"code":0,"data":{{"url":"http://u:{PASSWORD}@127.0.0.1/?sign={PASSWORD}"}}}}'),
        json_body(f'{{"code":0,"data":{{"url":"http://host.invalid/?sign={PASSWORD}"}}}}'),  # the log names the host
        json_body(f'{{"code":0,"data":{{"url":"http://[{PASSWORD}/","expires":"{PASSWORD}"}}}}'),
    )  # fmt: skip
    spoiled = [(verb, spoiler) for verb in ("fetch", "resolve", "whoami") for spoiler in spoilers]
    for number, (verb, spoiler) in enumerate(spoiled):
        cloudreve.library.put(cloudreve.library.alice, f"/album/{number}.png")
        cloudreve.fail(verb, spoiler, times=1)  # type: ignore[arg-type]
        fresh = cloudreve.token(life_s=3600 + number) if verb == "whoami" else token
        await visitor.ask(
            f"cloudreve://my/album/{number}.png?{PASSWORD}", **{**bearer, "Authorization": f"Bearer {fresh}"}
        )
        cloudreve.mend()


async def nonsense(visitor: Confidant, token: str) -> None:
    """Say what aiohttp's own errors might repeat."""
    secret = f"Authorization: Bearer {token}\r\n".encode()
    for raw in (
        b"GET /thumb?uri=" + PASSWORD.encode() + b"\x01 HTTP/1.1\r\n" + secret + b"\r\n",
        b"GET /thumb HTTP/1.1\r\nHost: x\r\n" + secret.replace(b":", b"", 1) + b"\r\n",
        b"GET /thumb HTTP/1.1\r\nHost: x\r\nX-Long: " + token.encode() + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /thumb?uri=" + PASSWORD.encode() * 4000 + b" HTTP/1.1\r\n\r\n",
        b"POST /thumb HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n" + secret + b"\r\n",
        token.encode() + b"\r\n\r\n",
    ):
        await visitor.say(raw)
    for path in (f"/{PASSWORD}", f"/thumb/s/{token}", f"/thumb?uri={PASSWORD}&uri={token}", f"//{PASSWORD}@x/%ff%00"):
        await visitor.send(path)


async def test_no_secret_is_written_anywhere(cloudreve: StandIn, program: Program) -> None:
    """Driven through every fault with the log at its most talkative; then all of it is searched."""
    token = cloudreve.token()
    async with aiohttp.ClientSession() as session:
        visitor = Confidant(session, f"http://127.0.0.1:{program.port}")
        for cloudreve.foreign in (False, True):
            await everything(cloudreve, visitor, token)
        await nonsense(visitor, token)
        metrics = await (await session.get(f"http://127.0.0.1:{program.admin_port}/metrics")).text()
    program.ask_to_leave()
    assert await program.end() == 0
    assert program.log.count('"event":"request"') > 100
    answers = "\n".join(visitor.heard)
    secrets = [*token.split("."), PASSWORD, TICKET, HINT, REDIS_PASSWORD, cloudreve.secret]
    for place, text in (("log", program.log), ("metrics", metrics), ("answers", answers)):
        found = [secret for secret in secrets if secret in text]
        assert found == [], f"{place}: {[line for line in text.splitlines() if found[0] in line][:3]}"
        for part in ("sign=", "X-Amz-", "/album", "one.png", "file/content", "bucket/", "secret</b>"):
            assert part not in text, f"{place}: {[line for line in text.splitlines() if part in line][:3]}"
