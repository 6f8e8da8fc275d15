"""The OAuth2 code flow, as the stand-in and a real Cloudreve know it: consent, exchange, refresh, and the end."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import urlencode

import pytest

from proxy.identity.claims import read_claims
from proxy.sessions.pkce import challenge_of
from proxy.standin.site import OAuthClient
from tests.contract.test_recorded import form
from tests.harness.cloudreve_targets import REDIRECT_URI, Client, RealTarget, Reply

API = "/api/v4/session"
SCOPES = "openid offline_access Files.Read"
VERIFIER = "a-verifier-of-more-than-forty-three-characters-as-it-has-to-be"


def registered(cloudreve: Client) -> tuple[str, str]:
    """Give id and secret of the client that the site knows."""
    if isinstance(cloudreve.target, RealTarget):
        return os.environ["OAUTH_CLIENT"], os.environ["OAUTH_SECRET"]
    return OAuthClient().id, OAuthClient().secret


async def consent(cloudreve: Client, token: str | None = None, **changed: str) -> Reply:
    asked = {"client_id": registered(cloudreve)[0], "redirect_uri": REDIRECT_URI, "response_type": "code"}
    asked |= {"scope": SCOPES, "state": "a-state", "code_challenge": challenge_of(VERIFIER)}
    asked |= {"code_challenge_method": "S256"} | changed
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return await cloudreve.send("POST", f"{API}/oauth/consent", headers, json.dumps(asked).encode())


async def exchange(cloudreve: Client, code: str, **changed: str) -> Reply:
    client, secret = registered(cloudreve)
    values = {"client_id": client, "client_secret": secret, "grant_type": "authorization_code", "code": code}
    values |= {"code_verifier": VERIFIER} | changed
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await cloudreve.send("POST", f"{API}/oauth/token", headers, urlencode(values).encode())


async def code_of(cloudreve: Client, **changed: str) -> str:
    agreed = await consent(cloudreve, cloudreve.target.alice, **changed)
    assert agreed.json["data"]["state"] == "a-state"
    return str(agreed.json["data"]["code"])


async def tokens(cloudreve: Client, **changed: str) -> dict[str, Any]:
    reply = await exchange(cloudreve, await code_of(cloudreve, **changed))
    assert reply.status == 200
    return reply.json


async def refresh(cloudreve: Client, token: str) -> Reply:
    return await cloudreve.post(f"{API}/token/refresh", {"refresh_token": token})


async def test_a_code_brings_a_pair_of_tokens(cloudreve: Client) -> None:
    """Bare, in this order; both tokens say when they end."""
    pair = await tokens(cloudreve)

    assert form(pair) == [
        ("access_token", "str"),
        ("token_type", "str"),
        ("expires_in", "int"),
        ("refresh_token_expires_in", "int"),
        ("refresh_token", "str"),
        ("scope", "str"),
    ]
    assert (pair["token_type"], pair["scope"]) == ("Bearer", SCOPES)
    access, renewing = read_claims(pair["access_token"]), read_claims(pair["refresh_token"])
    assert access is not None
    assert renewing is not None
    assert (access.kind, access.scopes, access.client) == ("access", tuple(sorted(SCOPES.split())), renewing.client)
    assert renewing.expires > access.expires


async def test_without_offline_access_there_is_no_refresh_token(cloudreve: Client) -> None:
    """Though the answer says how long one would live."""
    pair = await tokens(cloudreve, scope="openid Files.Read")

    assert "refresh_token" not in pair
    assert "refresh_token_expires_in" in pair


@pytest.mark.parametrize("changed", [{"code_verifier": "another"}, {"client_secret": "another"}, {"code": "another"}])
async def test_a_code_is_refused_and_spent(cloudreve: Client, changed: dict[str, str]) -> None:
    """HTTP 400 and a shape of its own; after a wrong attempt with it, the right one comes too late."""
    code = await code_of(cloudreve)

    refused = await exchange(cloudreve, changed.get("code", code), **{k: v for k, v in changed.items() if k != "code"})
    later = await exchange(cloudreve, code)

    assert (refused.status, refused.json["error_codes"]) == (400, [40020])
    assert [name for name, _ in form(refused.json)] == ["error", "error_description", "error_codes", "correlation_id"]
    assert later.status == (200 if "code" in changed else 400)
    assert (await exchange(cloudreve, code)).status == 400


@pytest.mark.parametrize(
    ("changed", "code", "msg"),
    [
        ({"redirect_uri": "http://127.0.0.1:8081/session/callback"}, 40001, "Invalid redirect URI"),
        ({"scope": "openid Files.Write"}, 40001, "Invalid scope requested"),
        ({"scope": "Files.Read"}, 40001, "openid scope required"),
        ({"client_id": "another"}, 404, "App not found"),
    ],
)
async def test_not_everything_can_be_agreed_to(cloudreve: Client, changed: dict[str, str], code: int, msg: str) -> None:
    """Whatever the user would say."""
    reply = await consent(cloudreve, cloudreve.target.alice, **changed)

    assert (reply.code, reply.json["msg"]) == (code, msg)


async def test_only_a_user_who_is_signed_in_can_consent(cloudreve: Client) -> None:
    assert (await consent(cloudreve)).code == 401


async def test_a_refresh_token_is_good_more_than_once(cloudreve: Client) -> None:
    """Each time for a pair of its own, with the same rights."""
    pair = await tokens(cloudreve)

    first, second = [await refresh(cloudreve, pair["refresh_token"]) for _ in range(2)]

    for reply in (first, second):
        claims = read_claims(reply.json["data"]["access_token"])
        assert claims is not None
        assert claims.scopes == tuple(sorted(SCOPES.split()))
    assert (await refresh(cloudreve, first.json["data"]["refresh_token"])).code == 0


async def test_one_end_ends_every_refresh_token_of_a_sign_in(cloudreve: Client) -> None:
    """Older and newer; not those of another sign-in, and not access tokens."""
    pair, other = await tokens(cloudreve), await tokens(cloudreve)
    newer = (await refresh(cloudreve, pair["refresh_token"])).json["data"]

    body = json.dumps({"refresh_token": newer["refresh_token"]}).encode()
    ended = await cloudreve.send("DELETE", f"{API}/token", {"Content-Type": "application/json"}, body)

    assert ended.json == {"code": 0, "data": "", "msg": ""}
    for token in (pair["refresh_token"], newer["refresh_token"]):
        assert (await refresh(cloudreve, token)).code == 40020
    assert (await refresh(cloudreve, other["refresh_token"])).code == 0
    whoami = await cloudreve.send("GET", f"{API}/oauth/userinfo", {"Authorization": f"Bearer {newer['access_token']}"})
    assert whoami.json["sub"] == cloudreve.target.alice_id


@pytest.mark.parametrize("token", ["garbage", "an access token"])
async def test_any_other_text_than_a_refresh_token_renews_nothing(cloudreve: Client, token: str) -> None:
    reply = await refresh(cloudreve, cloudreve.target.alice if token == "an access token" else token)

    assert (reply.code, reply.json["msg"]) == (40020, "Failed to issue token pair")
