"""Scripts of other origins (CORS): on every route preflight and answer say the same, and what Cloudreve says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest

from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Reply, in_share

APP = "https://app.example"
OTHER = "https://other.example"
HERE = "https://thumbs.example.com"
API = f"/api/v4/file/thumb?uri={quote(ONE, safe='')}"
ASKED = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
SERVER = {"public_origin": HERE}


def cors(reply: Reply) -> dict[str, str]:
    """Pick out what is for scripts of other origins, on preflights and answers alike."""
    names = ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials")
    return {name: reply.headers[name] for name in names if name in reply.headers}


async def both(gateway: GatewayClient, path: str, origin: str, headers: Mapping[str, str]) -> tuple[Reply, Reply]:
    """Ask as a browser does for a script: first whether, then what."""
    preflight = await gateway.send("OPTIONS", path, {**ASKED, "Origin": origin})
    return preflight, await gateway.send("GET", path, {**headers, "Origin": origin})


async def paths(
    gateway: GatewayClient, cloudreve: StandIn, token: Mapping[str, str]
) -> dict[str, tuple[str, Mapping[str, str]]]:
    """List what there is to ask, and with which credentials."""
    link = await gateway.send("GET", API, token)
    return {
        "public": (f"/thumb?uri={in_share(cloudreve)}", {}),
        "private": (f"/thumb?uri={ONE}", token),
        "refused": (f"/thumb?uri={ONE}", {}),
        "sealed": (json.loads(link.body)["data"]["url"].removeprefix(HERE), {}),
        "broken": ("/thumb/s/broken", {}),
        "api": (API, token),
        "api, refused": (API, {}),
        "session": ("/session", token),
        "session, refused": ("/session", {}),
    }


@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("listed", ["session", "embed"])
async def test_preflight_and_answer_agree_on_every_route(
    launcher: GatewayLauncher, cloudreve: StandIn, listed: str, passthrough: bool
) -> None:
    """A listed origin reads everything, with credentials; others what everybody may have, and why they may not."""
    lists: dict[str, Any] = (
        {"session": {"origins": [APP]}} if listed == "session" else {"embed": {"private_origins": [APP]}}
    )
    gateway = await launcher.open(server={**SERVER, "passthrough": passthrough}, **lists)
    token = {"Authorization": f"Bearer {cloudreve.token()}"}
    for name, (path, headers) in (await paths(gateway, cloudreve, token)).items():
        if name.startswith("session") and listed == "embed":
            continue
        preflight, answer = await both(gateway, path, APP, headers)
        expected = {"Access-Control-Allow-Origin": APP, "Access-Control-Allow-Credentials": "true"}
        assert cors(preflight) == cors(answer) == expected, name
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"], name
        for reply in (preflight, answer):
            [varied] = reply.headers.getall("Vary")  # type: ignore[attr-defined]
            assert "Origin" in varied.split(", "), name
        preflight, answer = await both(gateway, path, OTHER, headers)
        if name in ("private", "sealed"):
            assert answer.status == 403, name
        if path.startswith("/thumb"):
            assert cors(preflight) == cors(answer) == {"Access-Control-Allow-Origin": "*"}, name
            assert "Authorization" not in preflight.headers["Access-Control-Allow-Headers"], name
        else:
            assert cors(preflight) == cors(answer) == {}, name


async def test_the_api_lets_those_read_whom_cloudreve_lets(launcher: GatewayLauncher, cloudreve: StandIn) -> None:
    """With pass-through the preflight is Cloudreve's own; the answer has the fields that its own would have."""
    cloudreve.cors_origins = (APP,)
    gateway = await launcher.open(server={**SERVER, "passthrough": True})
    token = {"Authorization": f"Bearer {cloudreve.token()}"}
    direct = await gateway.send("GET", cloudreve.own_url + API, {**token, "Origin": APP})
    cloudreve.calls.forget()
    for headers in (token, {}):
        for _ in range(3):
            preflight, answer = await both(gateway, API, APP, headers)
            for name in direct.headers:
                if name.startswith("Access-Control"):
                    assert answer.headers[name] == direct.headers[name]
            assert cors(preflight) == cors(answer) == cors(direct) != {}
            [varied] = answer.headers.getall("Vary")  # type: ignore[attr-defined]
            assert "Origin" in varied.split(", ")
    assert cloudreve.calls.count("ping") == 1
    preflight, answer = await both(gateway, API, OTHER, token)
    assert preflight.status == 403
    assert cors(answer) == {}
    assert cors(await gateway.send("GET", API, {**token, "Origin": HERE})) == {}


async def test_a_page_that_cloudreve_lets_read_shows_what_its_links_open(
    launcher: GatewayLauncher, cloudreve: StandIn
) -> None:
    """It has the sealed URL from the API; without Cloudreve's leave, or without pass-through, it is 403."""
    cloudreve.cors_origins = (APP,)
    statuses = []
    for passthrough in (True, False):
        gateway = await launcher.open(server={**SERVER, "passthrough": passthrough})
        link = await gateway.send("GET", API, {"Authorization": f"Bearer {cloudreve.token()}"})
        path = json.loads(link.body)["data"]["url"].removeprefix(HERE)
        for page in (APP, OTHER, "null"):
            image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image", "Referer": f"{page}/"}
            shown = await gateway.send("GET", path, image if page != "null" else {**image, "Origin": "null"})
            statuses.append(shown.status)
        preflight, read = await both(gateway, path, APP, {"Sec-Fetch-Site": "cross-site"})
        assert cors(preflight) == cors(read)
        statuses.append(read.status)
    assert statuses == [200, 403, 403, 200, 403, 403, 403, 403]


async def test_while_cloudreve_does_not_answer_scripts_read_nothing(
    launcher: GatewayLauncher, cloudreve: StandIn
) -> None:
    """The picture's link is given all the same; soon after, Cloudreve is asked again."""
    gateway = await launcher.open(server={**SERVER, "passthrough": True})
    token = {"Authorization": f"Bearer {cloudreve.token()}"}
    assert (await gateway.send("GET", API, token)).status == 200
    await cloudreve.stop()
    answer = await gateway.send("GET", API, {**token, "Origin": APP})
    assert (answer.status, cors(answer)) == (200, {})
    cloudreve.cors_origins = (APP,)
    await cloudreve.start()
    launcher.hours.pass_by(3)
    assert cors(await gateway.send("GET", API, {**token, "Origin": APP})) != {}
