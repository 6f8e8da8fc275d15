"""Cloudreve's answers to good, bad and misplaced credentials."""

from __future__ import annotations

import pytest

from tests.harness.cloudreve_targets import Client


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("{alice}", "alice"),
        ("Bearer {alice}", "alice"),
        ("bearer {alice}", None),
        ("Bearer  {alice}", None),
        ("Bearer {alice}x", None),
        ("Bearer", None),
        ("Bearer a.b.c", None),
        ("Basic abc", None),
    ],
)
async def test_a_bad_credential_is_nobody(cloudreve: Client, header: str, name: str | None) -> None:
    """Whoami asks for a login, and resolve takes the visitor for anonymous: neither says that the token is bad."""
    headers = {"Authorization": header.format(alice=cloudreve.target.alice)}
    whoami = await cloudreve.send("GET", "/api/v4/session/oauth/userinfo", headers)
    mine = await cloudreve.send("GET", "/api/v4/file/thumb?uri=cloudreve://my/album/one.png", headers)
    shared = f"/api/v4/file/thumb?uri=cloudreve://{cloudreve.target.share}@share/one.png"

    assert whoami.json.get("name") == name
    assert whoami.json.get("code") == (None if name else 401)
    assert mine.code == (0 if name else 401)
    assert (await cloudreve.send("GET", shared, headers)).code == 0


async def test_a_refresh_token_is_no_access_token(cloudreve: Client) -> None:
    """Where a bad token is nobody's, a good one of the wrong kind is refused, even for a public share and for ping."""
    form = {"email": "alice@example.org", "password": "pass-word-1"}
    token = (await cloudreve.post("/api/v4/session/token", form)).json["data"]["token"]["refresh_token"]
    headers = {"Authorization": f"Bearer {token}"}

    for path in (
        "/api/v4/session/oauth/userinfo",
        "/api/v4/site/ping",
        f"/api/v4/file/thumb?uri=cloudreve://{cloudreve.target.share}@share/one.png",
    ):
        answer = (await cloudreve.send("GET", path, headers)).json
        assert (answer["code"], answer["msg"]) == (40020, "Invalid token type")


@pytest.mark.parametrize(
    ("path", "form", "code", "msg"),
    [
        ("", {"email": "alice@example.org", "password": "wrong-word"}, 40080, "Incorrect password or email address"),
        ("", {"email": "zed@example.org", "password": "wrong-word"}, 40080, "Incorrect password or email address"),
        ("", {}, 40001, "Email cannot be empty"),
        ("", "garbage", 40001, None),
        ("/refresh", {"refresh_token": "garbage"}, 40020, "Failed to issue token pair"),
        ("/refresh", {}, 40001, "RefreshToken cannot be empty"),
    ],
)
async def test_signing_in_with_something_wrong_is_refused(
    cloudreve: Client, path: str, form: object, code: int, msg: str | None
) -> None:
    answer = (await cloudreve.post(f"/api/v4/session/token{path}", form)).json

    assert answer["code"] == code
    assert msg in {None, answer["msg"]}


async def test_an_access_token_refreshes_nothing(cloudreve: Client) -> None:
    """The two kinds cannot stand in for each other."""
    reply = await cloudreve.post("/api/v4/session/token/refresh", {"refresh_token": cloudreve.target.alice})

    assert reply.code == 40020
