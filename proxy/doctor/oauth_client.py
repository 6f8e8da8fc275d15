"""Tries the OAuth client as far as it can be tried without a person."""

from __future__ import annotations

import secrets

from proxy.doctor.cloudreve_api import CloudreveApi
from proxy.doctor.finding import Finding, Verdict
from proxy.domain.errors import ProxyError
from proxy.sessions.pkce import challenge_of
from proxy.settings import Settings
from proxy.upstream.oauth import OAuth

SUBJECT = "sign-in"
_NO_APP = 404


async def examine_oauth(settings: Settings, api: CloudreveApi, oauth: OAuth, token: str) -> list[Finding]:
    """Look the client up, and where an account is signed in (`token`) go the whole way in its name."""
    if settings.sign_in.client_id is None:
        return []
    try:
        return [await _client(settings, api) or await _exchange(settings, api, oauth, token)]
    except ProxyError as error:
        return [Finding(Verdict.ADVICE, SUBJECT, f"The OAuth client could not be tried: {error.detail or error.title}")]


async def _client(settings: Settings, api: CloudreveApi) -> Finding | None:
    answer = await api.app(settings.sign_in.client_id or "")
    if answer.code == _NO_APP:
        return _problem(
            "Cloudreve has no OAuth app with the id in sign_in.client_id; its dashboard shows the right one."
        )
    return None


async def _exchange(settings: Settings, api: CloudreveApi, oauth: OAuth, token: str) -> Finding:
    """Agree in the account's name and exchange the code: only a real code tells whether the secret is right."""
    redirect_uri = f"{settings.server.public_origin}{settings.session.path}/callback"
    if not token:
        text = (
            "Cloudreve has the OAuth app. Whether its secret and its redirect URI are right only a sign-in tells: "
            f"the app in Cloudreve's dashboard has to have {redirect_uri}."
        )
        return Finding(Verdict.ADVICE, SUBJECT, text)
    verifier = secrets.token_urlsafe(48)
    asked = {
        "client_id": settings.sign_in.client_id or "",
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": settings.sign_in.scopes,
        "state": "check",
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    answer = await api.consent(asked, token)
    if answer.code:
        return _problem(_refused(answer.msg, answer.code, redirect_uri))
    tokens = await oauth.exchange(answer.read(dict[str, str])["code"], verifier)
    if tokens is None:
        return _problem("Cloudreve has the OAuth app, but does not accept the secret in sign_in.client_secret.")
    if tokens.refresh:
        await oauth.revoke(tokens.refresh)
    return Finding(Verdict.OK, SUBJECT, "Cloudreve gives tokens to the OAuth client, tried with a published account.")


def _refused(message: str, code: int, redirect_uri: str) -> str:
    if "redirect" in message.lower():
        return f"The OAuth app in Cloudreve's dashboard has another redirect URI; it has to be {redirect_uri}."
    if "scope" in message.lower():
        return "The OAuth app in Cloudreve's dashboard lacks permissions that sign_in.scopes names."
    return f"Cloudreve refuses the OAuth client (code {code})."


def _problem(text: str) -> Finding:
    return Finding(Verdict.PROBLEM, SUBJECT, text)
