"""Signs in every account that has published a folder, as the gateway will."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from proxy.doctor.cloudreve_api import CloudreveApi
from proxy.doctor.finding import Finding, Verdict
from proxy.domain.errors import ProxyError
from proxy.identity.claims import read_claims
from proxy.settings import PublishSettings
from proxy.upstream.oauth import OAuth
from proxy.upstream.token_answers import Tokens

SUBJECT = "account"
DAY_S = 86_400
SOON_S = 3 * DAY_S
_NO_PATH = 40016
_REFRESH = "a refresh token ends after two weeks, and with the sign-out of its session; give a new one"
_PASSWORD = (
    "it is a wrong address or password, or Cloudreve wants a captcha or a second factor, for which a refresh token is"  # noqa: S105
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome for one account; the token is empty where it could not sign in."""

    number: int
    findings: list[Finding]
    token: str = field(default="", repr=False)


async def sign_in(number: int, entry: PublishSettings, oauth: OAuth, api: CloudreveApi) -> Attempt:
    """Sign one account in and look for its folder; `number` is its place in the configuration, from 0."""
    name = f"[[publish]] number {number + 1}"
    try:
        tokens = await _tokens(entry, oauth)
    except ProxyError as error:
        return Attempt(number, [_problem(f"{name} cannot sign in: {error.detail or error.title}")])
    except (OSError, UnicodeDecodeError):
        return Attempt(number, [_problem(f"{name} cannot sign in: its secret_file cannot be read.")])
    if tokens is None:
        secret, reason = ("e-mail address and password", _PASSWORD) if entry.email else ("refresh token", _REFRESH)
        return Attempt(number, [_problem(f"{name} cannot sign in: Cloudreve does not accept its {secret}; {reason}.")])
    findings = [await _folder(name, entry, api, tokens.access), *_end(name, entry)]
    return Attempt(number, findings, tokens.access)


async def _tokens(entry: PublishSettings, oauth: OAuth) -> Tokens | None:
    if entry.email:
        return await oauth.sign_in(entry.email, entry.secret_text)
    return await oauth.refresh(entry.secret_text)


async def _folder(name: str, entry: PublishSettings, api: CloudreveApi, token: str) -> Finding:
    try:
        answer = await api.folder(entry.prefix, token)
    except ProxyError as error:
        return Finding(Verdict.ADVICE, SUBJECT, f"{name} signs in; its folder was not looked at: {error.detail}")
    if answer.code == _NO_PATH:
        return _problem(f"{name} signs in, but there is no folder at its prefix; names are case-sensitive.")
    if answer.code:
        return _problem(f"{name} signs in, but may not open its folder (Cloudreve's code {answer.code}).")
    return Finding(Verdict.OK, SUBJECT, f"{name} signs in, and its folder is there.")


def _end(name: str, entry: PublishSettings) -> list[Finding]:
    """Tell of a refresh token that ends soon: the gateway renews it while it runs, but not in the configuration."""
    claims = None if entry.email else read_claims(entry.secret_text)
    if claims is None or (remaining_s := claims.expires - time.time()) > SOON_S:
        return []
    text = (
        f"The refresh token of {name} ends in {max(remaining_s, 0) / DAY_S:.1f} days; after that no restart takes it."
    )
    return [Finding(Verdict.ADVICE, SUBJECT, text)]


def _problem(text: str) -> Finding:
    return Finding(Verdict.PROBLEM, SUBJECT, text)
