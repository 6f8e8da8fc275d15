"""The switches of the stand-in, and what it counts."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime

import pytest

from proxy.standin.obfuscate import obfuscate
from proxy.standin.standin import StandIn
from tests.harness.cloudreve_targets import Client, Reply

ONE = "cloudreve://my/album/one.png"
PNG = b"\x89PNG"


async def _one(client: Client) -> Reply:
    return await client.resolve(ONE, client.target.alice)


async def test_urls_can_be_given_out_expired(cloudreve: StandIn, client: Client) -> None:
    """A negative life makes links that are refused at once."""
    cloudreve.url_life_s = -1

    assert (await client.fetch((await _one(client)).url)).code == 40005


async def test_expires_can_be_null(cloudreve: StandIn, client: Client) -> None:
    cloudreve.null_expires = True

    reply = await _one(client)

    assert reply.json["data"]["expires"] is None
    assert (await client.fetch(reply.url)).body.startswith(PNG)


async def test_the_url_can_be_empty(cloudreve: StandIn, client: Client) -> None:
    cloudreve.empty_url = True

    reply = await _one(client)

    assert (reply.code, reply.url) == (0, "")


async def test_urls_can_be_obfuscated(cloudreve: StandIn, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scrambled text is that of the plain URL, by the site's clock."""
    now = cloudreve.now()
    monkeypatch.setattr(cloudreve, "now", lambda: now)
    await _one(client)
    plain = await _one(client)
    cloudreve.obfuscated = True

    reply = await _one(client)

    assert reply.json["data"]["obfuscated"] is True
    assert reply.url == obfuscate(plain.url, now)


async def test_urls_can_start_with_another_origin(cloudreve: StandIn, client: Client) -> None:
    """The site URL is not where the stand-in listens; path and signature work there all the same."""
    cloudreve.site_url = "https://cloud.example.com"

    url = (await _one(client)).url

    assert url.startswith("https://cloud.example.com/api/v4/file/content/")
    assert (await client.fetch(url.removeprefix("https://cloud.example.com"))).body.startswith(PNG)


async def test_native_thumbnails_are_marked_in_the_query(cloudreve: StandIn, client: Client) -> None:
    """They carry the original's entity; without the mark the URL brings the original."""
    cloudreve.native_thumbs = True

    reply = await _one(client)
    thumbnail = await client.fetch(reply.url)
    original = await client.fetch(reply.url.replace("&thumb=true", ""))

    assert reply.url.endswith("&thumb=true")
    assert reply.entity == cloudreve.library.file("/album/one.png").original.id
    assert thumbnail.headers["ETag"] == original.headers["ETag"] == f'"{reply.entity}"'
    assert thumbnail.body != original.body


async def test_the_clock_can_be_wrong(cloudreve: StandIn, client: Client) -> None:
    """Date, expiry and signature checks follow it, and so do tokens."""
    real = await client.send("GET", "/api/v4/site/ping")
    url = (await _one(client)).url
    cloudreve.clock_offset_s = 4000

    late = await client.send("GET", "/api/v4/site/ping")

    ahead = parsedate_to_datetime(late.headers["Date"]) - parsedate_to_datetime(real.headers["Date"])
    assert 3999 <= ahead.total_seconds() <= 4060
    assert (await client.fetch(url)).code == 40005
    assert (await _one(client)).code == 401


async def test_a_new_key_voids_tokens_and_urls(cloudreve: StandIn, client: Client) -> None:
    """As an administrator's change of `secret_key` does."""
    url = (await _one(client)).url
    cloudreve.secret = "another"

    assert (await client.fetch(url)).code == 40071
    assert (await _one(client)).code == 401
    assert (await client.resolve(ONE, cloudreve.token("alice"))).code == 0


async def test_a_share_can_be_for_sale(cloudreve: StandIn, client: Client) -> None:
    """Everybody but the owner has to bring the right ticket."""
    share = cloudreve.library.publish(cloudreve.library.alice, "/album", ticket="a-ticket")
    path = f"/api/v4/file/thumb?uri=cloudreve://{share.id}@share/one.png"

    bought = await client.send("GET", path, {"X-Cr-Purchase-Ticket": "a-ticket"})
    guessed = await client.send("GET", path, {"X-Cr-Purchase-Ticket": "a-guess"})
    owned = await client.send("GET", path, {"Authorization": f"Bearer {client.target.alice}"})

    assert (bought.code, guessed.code, owned.code) == (0, 40083, 0)


async def test_a_share_can_turn_strangers_away(cloudreve: StandIn, client: Client) -> None:
    cloudreve.library.share.members_only = True
    uri = f"cloudreve://{client.target.share}@share/one.png"

    assert [(await client.resolve(uri, token)).code for token in (None, client.target.bob)] == [40088, 0]


@pytest.mark.parametrize(
    ("scopes", "code"), [((), 40089), (("openid",), 40089), (("Files.Read",), 0), (("Files.Write",), 0)]
)
async def test_an_oauth_token_needs_a_scope(
    cloudreve: StandIn, client: Client, scopes: tuple[str, ...], code: int
) -> None:
    token = cloudreve.token("alice", client="a client", scopes=scopes)

    assert (await client.resolve(ONE, token)).code == code


async def test_an_expired_token_is_nobody_s(cloudreve: StandIn, client: Client) -> None:
    assert (await client.resolve(ONE, cloudreve.token("alice", life_s=-10))).code == 401


async def test_calls_are_counted_by_verb_outcome_identity_and_target(cloudreve: StandIn, client: Client) -> None:
    """A call's worth and its credentials are written down."""
    reply = await _one(client)
    await client.resolve(ONE, "garbage")
    await client.fetch(reply.url)
    await client.fetch(reply.url.replace("sign=", "sign=x"))
    await client.send("GET", "/api/v4/session/oauth/userinfo", {"Authorization": f"Bearer {client.target.bob}"})

    calls = cloudreve.calls
    assert [calls.count("resolve"), calls.count("resolve", code=0), calls.count("resolve", code=401)] == [2, 1, 1]
    assert calls.count("resolve", identity=client.target.alice_id, target=ONE) == 1
    assert calls.count("resolve", identity="anonymous") == 1
    assert [call.code for call in calls.of("fetch")] == [0, 40071]
    assert calls.count("fetch", target=reply.entity) == 2
    assert calls.of("whoami")[0].identity == client.target.bob_id
    assert "authorization" in calls.of("resolve")[0].headers
    calls.forget()
    assert calls.count("resolve") == 0


async def test_calls_under_way_and_their_peak_are_counted(cloudreve: StandIn, client: Client) -> None:
    cloudreve.generator.gate = asyncio.Event()
    uris = [ONE, "cloudreve://my/album/two.png", "cloudreve://my/album/three.png"]
    tasks = [asyncio.create_task(client.resolve(uri, client.target.alice)) for uri in uris]

    await cloudreve.calls.arrived("resolve", 3)
    assert cloudreve.calls.under_way("resolve") == 3
    cloudreve.generator.gate.set()
    await asyncio.gather(*tasks)

    await cloudreve.calls.ended("resolve", 3)
    assert (cloudreve.calls.under_way("resolve"), cloudreve.calls.peak("resolve")) == (0, 3)


async def test_the_stand_in_can_be_stopped_and_started_again(cloudreve: StandIn, client: Client) -> None:
    where, one = cloudreve.own_url, await _one(client)
    await cloudreve.stop()
    await cloudreve.start()

    assert cloudreve.own_url == where
    assert (await _one(client)).entity == one.entity
