"""A browser as far as cookies go: it keeps them, sends them back, and follows nothing by itself."""

from __future__ import annotations

from http.cookies import Morsel, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp

from tests.harness.gateways import GatewayClient, Reply
from tests.harness.sites import thumb

COOKIE = "thumb_session"
ATTEMPT = "thumb_session_sign_in_"
"""The beginning of a name."""


class Browser:
    """Sends requests to gateways of one site, with all cookies that any of them has set."""

    def __init__(self, gateway: GatewayClient, **headers: str) -> None:
        self.gateway = gateway
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.cookies: dict[str, str] = {}

    async def send(self, method: str, path: str, token: str | None = None, **headers: str) -> Reply:
        """Send a request, and keep what its answer sets."""
        given = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        if self.cookies:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = await self.gateway.send(method, path, given)
        for morsel in set_by(reply):
            self.cookies.pop(morsel.key, None)
            if morsel["max-age"] != "0":
                self.cookies[morsel.key] = morsel.value
        return reply

    async def see(self, uri: str, **headers: str) -> Reply:
        """Ask for a picture as `<img>` does."""
        return await self.send("GET", thumb(uri), **headers)

    async def sign_in(self, token: str) -> Reply:
        """Turn a token into a cookie, as a page's script does."""
        reply = await self.send("POST", "/session", token)
        assert reply.status == 200, reply.body
        return reply

    async def agree(self, site: str, token: str, landing: str = "/") -> Reply:
        """Sign in by way of the consent page of the Cloudreve at `site`, as its button does; give the last answer."""
        begun = await self.send("GET", f"/session/login?{urlencode({'next': landing})}")
        assert begun.status == 303, begun.body
        return await self.send("GET", await consent(site, begun, token))


async def consent(site: str, begun: Reply, token: str) -> str:
    """Agree to what a browser was sent to the consent page for; give the path that leads back."""
    asked = dict(parse_qsl(urlsplit(begun.headers["Location"]).query, strict_parsing=True))
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{site}/api/v4/session/oauth/consent", json=asked, headers=headers) as response,
    ):
        agreed = await response.json()
    assert agreed["code"] == 0, agreed
    back = {"code": agreed["data"]["code"], "state": agreed["data"]["state"]}
    return f"{urlsplit(asked['redirect_uri']).path}?{urlencode(back)}"


def set_by(reply: Reply) -> list[Morsel[str]]:
    """List the cookies that an answer sets."""
    lines = [value for name, value in reply.headers.items() if name == "Set-Cookie"]
    return [morsel for line in lines for morsel in SimpleCookie(line).values()]
