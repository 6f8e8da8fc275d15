"""Every exchange that was recorded from a real Cloudreve, asked again: the answers have the same form."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cloudreve_targets import OAUTH_SCOPES, Client, Reply

FACTS = json.loads((Path(__file__).parents[1] / "facts" / "exchanges.json").read_text())["exchanges"]
RECORDED: dict[str, dict[str, Any]] = {exchange["name"]: exchange["response"] for exchange in FACTS}
NOT_ASKED = {"events: anonymous", "events: no client id"}
"""The stand-in tells of no events yet."""
COMPARED = ("cache-control", "content-type", "content-security-policy", "accept-ranges")
THUMB = "/api/v4/file/thumb"
WHOAMI = "/api/v4/session/oauth/userinfo"
ALICE = {"email": "alice@example.org", "password": "pass-word-1"}
BROKEN = b"\xff\xd8\xff\xe0 not a picture"

Ask = Callable[[Client], Awaitable[Reply]]


def _mine(name: str) -> Ask:
    return lambda cloudreve: cloudreve.resolve(f"cloudreve://my/{name}", cloudreve.target.alice)


def _shared(kind: str, path: str = "one.png", password: str = "") -> Ask:
    def ask(cloudreve: Client) -> Awaitable[Reply]:
        return cloudreve.resolve(f"cloudreve://{getattr(cloudreve.target, kind)}{password}@share/{path}")

    return ask


def _whoami(headers: Callable[[Client], dict[str, str]]) -> Ask:
    return lambda cloudreve: cloudreve.send("GET", WHOAMI, headers(cloudreve))


async def _later(cloudreve: Client) -> Reply:
    await _mine("album/one.png")(cloudreve)
    return await _mine("album/one.png")(cloudreve)


async def _fresh(cloudreve: Client, *, extension: str = "png", body: bytes | None = None, calls: int = 1) -> Reply:
    uri = await cloudreve.fresh(extension, body)
    for _ in range(calls - 1):
        await cloudreve.resolve(uri, cloudreve.target.alice)
    return await cloudreve.resolve(uri, cloudreve.target.alice)


async def _oauth(cloudreve: Client, scopes: str) -> Reply:
    return await cloudreve.resolve("cloudreve://my/album/one.png", await cloudreve.target.oauth_token(scopes))


async def _oauth_whoami(cloudreve: Client) -> Reply:
    token = await cloudreve.target.oauth_token(OAUTH_SCOPES)
    return await cloudreve.send("GET", WHOAMI, {"Authorization": f"Bearer {token}"})


async def _first_name(cloudreve: Client, **headers: str) -> Reply:
    first = await _fresh(cloudreve)
    return await cloudreve.fetch(first.url, **{name: value.format(first.entity) for name, value in headers.items()})


async def _altered(cloudreve: Client, old: str, new: str) -> Reply:
    url = (await _later(cloudreve)).url
    return await cloudreve.fetch(re.sub(old, new, url))


async def _again_shared(cloudreve: Client, token: str | None = None) -> Reply:
    uri = f"cloudreve://{cloudreve.target.share}@share/one.png"
    await cloudreve.resolve(uri)
    return await cloudreve.resolve(uri, token)


async def _replaced(cloudreve: Client) -> Reply:
    uri = await cloudreve.fresh()
    url = (await cloudreve.resolve(uri, cloudreve.target.alice)).url
    await cloudreve.fresh(uri=uri)
    return await cloudreve.fetch(url)


async def _refreshed(cloudreve: Client) -> Reply:
    signed_in = await cloudreve.post("/api/v4/session/token", ALICE)
    token = signed_in.json["data"]["token"]["refresh_token"]
    return await cloudreve.post("/api/v4/session/token/refresh", {"refresh_token": token})


async def _hinted(cloudreve: Client) -> Reply:
    await _later(cloudreve)
    hint = "1d781f44-543f-430a-b113-6dd872228e58"
    return await cloudreve.resolve("cloudreve://my/album/one.png", cloudreve.target.alice, hint)


ASKED: dict[str, Ask] = {
    "resolve: first call; the thumbnail has just been generated (its name ends in ._thumb)": _fresh,
    "resolve: a later call; same entity id, other name, other signature": _later,
    "resolve: non-ASCII name": _mine("%E6%97%A5%E8%90%BD%20%281%29.png"),
    "resolve: with a context hint": _hinted,
    "resolve: no generator takes this file, first call": lambda c: _fresh(c, extension="txt", body=b"no picture"),
    "resolve: no generator takes this file, later calls": lambda c: _fresh(c, extension="txt", body=b"none", calls=2),
    "resolve: not a picture, first call": lambda c: _fresh(c, extension="jpg", body=BROKEN),
    "resolve: not a picture, later calls": lambda c: _fresh(c, extension="jpg", body=BROKEN, calls=2),
    "resolve: anonymous, private file": lambda c: c.resolve("cloudreve://my/album/one.png"),
    "resolve: invalid token (silently anonymous)": lambda c: c.resolve("cloudreve://my/album/one.png", "garbage"),
    "resolve: another user's `my` has no such file": lambda c: c.resolve("cloudreve://my/album/one.png", c.target.bob),
    "resolve: another user's file by owner id": lambda c: c.resolve(
        f"cloudreve://{c.target.alice_id}@my/album/one.png", c.target.bob
    ),
    "resolve: no such file": _mine("nope.jpg"),
    "resolve: a folder": _mine("album"),
    "resolve: not a File URI": lambda c: c.resolve("not a uri", c.target.alice),
    "resolve: no uri": lambda c: c.send("GET", THUMB),
    "resolve: public share, anonymous": _again_shared,
    "resolve: public share, signed-in user": lambda c: _again_shared(c, c.target.bob),
    "resolve: share with its password": _shared("private_share", password=":pw123"),
    "resolve: share, password missing": _shared("private_share"),
    "resolve: share, wrong password": _shared("private_share", password=":nope"),
    "resolve: no such share": lambda c: c.resolve("cloudreve://zzzz@share/one.jpg"),
    "resolve: single-file share": _shared("file_share"),
    "fetch: first name (application/octet-stream!)": _first_name,
    "fetch: If-None-Match": lambda c: _first_name(c, If_None_Match='"{}"'),
    "fetch: Range": lambda c: _first_name(c, Range="bytes=0-99"),
    "fetch: tampered signature": lambda c: _altered(c, r"%3A\d+", "%3A4102444800"),
    "fetch: empty signature": lambda c: _altered(c, "sign=.*", "sign="),
    "fetch: expired signature": lambda c: _altered(c, r"%3A\d+", "%3A1795434915"),
    "whoami: valid token (not wrapped in {code,data})": _whoami(
        lambda c: {"Authorization": f"Bearer {c.target.alice}"}
    ),
    "whoami: invalid token": _whoami(lambda _: {"Authorization": "Bearer garbage"}),
    "whoami: OAuth token": _oauth_whoami,
    "resolve: OAuth token without a Files scope": lambda c: _oauth(c, OAUTH_SCOPES),
    "resolve: OAuth token with Files.Write": lambda c: _oauth(c, "openid Files.Read"),
    "sign-in: password": lambda c: c.post("/api/v4/session/token", ALICE),
    "sign-in: refresh": _refreshed,
    "site: ping": lambda c: c.send("GET", "/api/v4/site/ping"),
    "fetch: the entity was replaced by a newer upload": _replaced,
}
CONFLICTS = {
    "resolve: while another request generates the same thumbnail",
    "resolve: while another request generates the same thumbnail (other outcome)",
}


@pytest.mark.parametrize("name", ASKED)
async def test_an_answer_has_the_form_that_was_recorded(cloudreve: Client, name: str) -> None:
    """Status, headers that matter, JSON keys in order, code and message agree with the recording."""
    reply, recorded = await ASKED[name](cloudreve), RECORDED[name]

    assert reply.status == recorded["status"]
    assert {name: reply.headers.get(name) for name in COMPARED if name in recorded["headers"]} == {
        name: value for name, value in recorded["headers"].items() if name in COMPARED
    }
    if "json" in recorded:
        assert form(reply.json) == form(recorded["json"])
    else:
        assert reply.body.startswith(bytes.fromhex(recorded["bytes"]["magic"]))
        assert re.fullmatch('"[A-Za-z0-9]+"', reply.headers["ETag"])


async def test_a_second_call_while_a_thumbnail_is_generated_gets_one_of_two_conflicts(cloudreve: Client) -> None:
    """One of several calls at once generates; others are refused, in one of the two ways that were recorded."""
    uri = await cloudreve.fresh()

    replies = await cloudreve.target.together([cloudreve.resolve(uri, cloudreve.target.alice) for _ in range(12)])

    refused = [reply.json for reply in replies if reply.code]
    assert sum("._thumb?" in reply.url for reply in replies if not reply.code) == 1
    assert refused
    assert {str(form(answer)) for answer in refused} <= {str(form(RECORDED[name]["json"])) for name in CONFLICTS}
    assert {answer["data"][0]["path"] for answer in refused if "data" in answer} <= {uri}


def test_every_recorded_exchange_is_asked_again() -> None:
    assert set(RECORDED) == set(ASKED) | CONFLICTS | NOT_ASKED


def form(value: Any, key: str = "") -> Any:  # noqa: ANN401 - any JSON
    """Reduce JSON to what has to agree: keys in order and types, and the values of code and msg."""
    if isinstance(value, dict):
        return [(name, form(item, name)) for name, item in value.items()]
    if isinstance(value, list):
        return [form(item) for item in value]
    return value if key in {"code", "msg", "status", "email_verified"} else type(value).__name__
