"""Asks Cloudreve's API for tokens: by a code, by a password, by a refresh token; and revokes them."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from proxy.observe.span import Kind, Observer
from proxy.settings import SignInSettings
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.token_answers import Tokens, read_exchange, read_refresh, read_sign_in

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


class OAuth:
    """Cloudreve's endpoints for tokens. The OAuth client's secret is sent to these alone."""

    def __init__(self, cloudreve: Cloudreve, observer: Observer, client: SignInSettings) -> None:
        self._cloudreve = cloudreve
        self._observer = observer
        self._client = client

    async def exchange(self, code: str, verifier: str) -> Tokens | None:
        """Give the tokens of the user who agreed; None when Cloudreve does not accept the code, or does not know us."""
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier} | self._credentials()
        with self._observer.span("exchange", Kind.CALL) as call:
            body = await self._cloudreve.send("POST", "/api/v4/session/oauth/token", urlencode(form).encode(), FORM)
            tokens = read_exchange(body)
            call.outcome = "tokens" if tokens else "refusal"
            return tokens

    async def sign_in(self, email: str, password: str) -> Tokens | None:
        """Give the tokens of an account; None when Cloudreve does not let it in, or wants more than a password."""
        body = msgspec.json.encode({"email": email, "password": password})
        with self._observer.span("sign_in", Kind.CALL) as call:
            tokens = read_sign_in(await self._cloudreve.send("POST", "/api/v4/session/token", body, JSON))
            call.outcome = "tokens" if tokens else "refusal"
            return tokens

    async def refresh(self, refresh_token: str) -> Tokens | None:
        """Give a new pair; None when Cloudreve says that there will be none any more.

        The old token remains good; either ends with the session of both (docs/cloudreve.md, Sign-in).
        """
        with self._observer.span("refresh", Kind.CALL) as call:
            body = await self._cloudreve.send("POST", "/api/v4/session/token/refresh", _body(refresh_token), JSON)
            tokens = read_refresh(body)
            call.outcome = "tokens" if tokens else "refusal"
            return tokens

    async def revoke(self, refresh_token: str) -> None:
        """End the session of a refresh token; access tokens live on until they run out (docs/cloudreve.md, Sign-in)."""
        with self._observer.span("revoke", Kind.CALL) as call:
            await self._cloudreve.send("DELETE", "/api/v4/session/token", _body(refresh_token), JSON)
            call.outcome = "ok"

    def _credentials(self) -> dict[str, str]:
        secret = self._client.client_secret
        return {
            "client_id": self._client.client_id or "",
            "client_secret": secret.get_secret_value() if secret else "",
        }


def _body(refresh_token: str) -> bytes:
    return msgspec.json.encode({"refresh_token": refresh_token})
