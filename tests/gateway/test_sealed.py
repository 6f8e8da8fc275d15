"""Sealed URLs: leave to see one picture, for as long as Cloudreve gave it, at any replica, and nothing more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.domain.seal import Purpose, Sealer
from proxy.standin.faults import Fault, Reset, json_body
from proxy.standin.standin import StandIn
from tests.gateway.test_api import given
from tests.harness.gateways import ONE, PNG, GatewayClient, GatewayLauncher, Hours, Reply, gateway_of, in_share
from tests.harness.redis_server import RedisServer

KEY, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
KEYS: dict[str, object] = {"keys": [KEY]}
MARGIN_S = 10.0


def without_query(url: str) -> str:
    return url.removeprefix("/thumb/s/")


async def follow(gateway: GatewayClient, url: str, method: str = "GET", **headers: str) -> Reply:
    """Follow a URL as an `<img>` does: with no credential, or with whatever is given."""
    return await gateway.send(method, url, {name.replace("_", "-"): value for name, value in headers.items()})


async def test_a_url_is_the_same_as_long_as_the_grant_lives(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours
) -> None:
    """So that a browser that has the picture asks for nothing; a new grant makes a new URL."""
    first = await given(gateway, ONE, cloudreve.token())
    hours.pass_by(3500)
    assert await given(gateway, ONE, cloudreve.token()) == first
    hours.pass_by(100)
    second = await given(gateway, ONE, cloudreve.token())
    assert second != first
    assert (await follow(gateway, second)).status == 200
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (2, 1)


async def test_replicas_give_the_same_url_and_any_other_opens_it(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """Two share a Redis; the third has nothing but the key, and asks Cloudreve for the bytes alone."""
    redis: dict[str, object] = {"url": redis_server.url, "timeout_s": 5.0}
    one, two = await launcher.open(redis=redis, seal=KEYS), await launcher.open(redis=redis, seal=KEYS)
    third = await launcher.open(seal=KEYS)
    url = await given(one, ONE, cloudreve.token())
    assert await given(two, ONE, cloudreve.token()) == url
    asked = len(cloudreve.calls.all)
    reply = await follow(third, url)
    assert (reply.status, reply.headers["Content-Type"], reply.body[:4]) == (200, PNG, b"\x89PNG")
    [call] = cloudreve.calls.all[asked:]
    assert call.verb == "fetch"
    assert "authorization" not in call.headers
    for gateway in (one, two):
        again = await follow(gateway, url)
        assert (again.body, again.etag) == (reply.body, reply.etag)


async def test_an_answer_may_be_kept_as_long_as_the_grant_lives(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours
) -> None:
    """Only the format varies, and nothing changes it; by shared caches only what anybody may see."""
    private, public = await given(gateway, ONE, cloudreve.token()), await given(gateway, in_share(cloudreve, "two.png"))
    hours.pass_by(600)
    for url, sharing in ((private, "private"), (public, "public")):
        for expected in (False, True, True):  # the last one comes from the hit path
            reply = await follow(gateway, url)
            directives = reply.headers["Cache-Control"].split(", ")
            assert (directives[0], directives[2]) == (sharing, "immutable")
            assert 2980 <= reply.max_age_s <= 2990
            assert reply.headers["Vary"] == "Accept"
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert reply.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
            assert reply.is_hit == expected


async def test_no_credential_beside_a_url_is_looked_at(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """The URL comes first: a bad token does not spoil it, and a good one is not asked about."""
    url = await given(gateway, ONE, cloudreve.token())
    for headers in (
        {"Authorization": "Bearer garbage"},
        {"Authorization": "Basic x"},
        {"Cookie": "thumb_session=garbage"},
        {"X_Cr_Purchase_Ticket": "x" * 5000},
    ):
        assert (await follow(gateway, url, **headers)).status == 200
    assert cloudreve.calls.count("whoami") == 1


async def test_a_validator_saves_the_bytes_even_with_every_cache_empty(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """The name of one of Cloudreve's own pictures follows from the URL alone."""
    one, two = await launcher.open(seal=KEYS), await launcher.open(seal=KEYS)
    url = await given(one, in_share(cloudreve))
    etag = (await follow(one, url)).etag
    reply = await follow(two, url, If_None_Match=etag)
    assert (reply.status, reply.body, reply.etag) == (304, b"", etag)
    assert reply.headers["Cache-Status"].endswith("detail=sealed")
    assert (await follow(two, url, If_None_Match='"another"')).status == 200
    assert cloudreve.calls.count("fetch") == 2


async def test_head_says_what_get_would(cloudreve: StandIn, gateway: GatewayClient) -> None:
    url = await given(gateway, in_share(cloudreve))
    shown, head = await follow(gateway, url), await follow(gateway, url, "HEAD")
    assert (head.status, head.body, head.etag) == (200, b"", shown.etag)
    assert head.headers["Content-Length"] == str(len(shown.body))


def check_no_picture(reply: Reply, status: int) -> None:
    """Expect a clear body that nobody stores."""
    assert reply.status == status
    assert reply.problem["detail"]
    assert "ETag" not in reply.headers


async def test_a_changed_url_shows_nothing(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Wherever it was changed; the picture is at hand all the while."""
    url = await given(gateway, ONE, cloudreve.token())
    assert (await follow(gateway, url)).status == 200
    sealed = without_query(url)
    changed = [sealed[:-1], sealed + "A", "A" + sealed, sealed[::-1], sealed.swapcase(), "A" * 40]
    changed += ["A", "%00", "..", "%C3%A9", "%FF", sealed + "%20", sealed + "=", "A" * 10_000]
    changed += [sealed[:n] + ("B" if sealed[n] != "B" else "C") + sealed[n + 1 :] for n in range(0, len(sealed), 9)]
    for text in changed:
        check_no_picture(await follow(gateway, f"/thumb/s/{text}"), 403)
    for place in ("/thumb/s/", "/thumb/s", f"{url}/"):
        assert (await follow(gateway, place)).status == 404
    assert cloudreve.calls.count("fetch") == 1


async def test_a_url_of_another_key_shows_nothing(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """Without keys in the configuration each process has its own."""
    given_by = await launcher.open()
    url = await given(given_by, ONE, cloudreve.token())
    for gateway in (await launcher.open(), await launcher.open(seal=KEYS)):
        check_no_picture(await follow(gateway, url), 403)
    assert (await follow(given_by, url)).status == 200


async def test_keys_are_rotated_without_losing_a_url(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """The new one first, the old one behind it until what it sealed has run out."""
    before, after = await launcher.open(seal=KEYS), await launcher.open(seal={"keys": [OTHER, KEY]})
    gone = await launcher.open(seal={"keys": [OTHER]})
    old, new = await given(before, ONE, cloudreve.token()), await given(after, ONE, cloudreve.token())
    assert (await follow(after, old)).status == (await follow(gone, new)).status == 200
    check_no_picture(await follow(gone, old), 403)


async def test_a_text_sealed_for_another_purpose_shows_nothing(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    gateway = await launcher.open(seal=KEYS)
    sealer = Sealer([KEY])
    url = await given(gateway, in_share(cloudreve))
    payload = sealer.open(Purpose.URL, without_query(url))
    assert (await follow(gateway, "/thumb/s/" + sealer.seal(Purpose.URL, payload))).status == 200
    for text in (sealer.seal(Purpose.SESSION, payload), sealer.seal(Purpose.URL, payload + b"\x00")):
        check_no_picture(await follow(gateway, f"/thumb/s/{text}"), 403)


async def test_a_url_of_another_site_shows_nothing(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """Even with the same keys: one entity id names two pictures there."""
    gateway = await launcher.open(seal=KEYS)
    async with StandIn(size=(40, 30)) as elsewhere, gateway_of(elsewhere.own_url, seal=KEYS) as other:
        url = await given(other, in_share(elsewhere))
        assert (await follow(other, url)).status == 200
        check_no_picture(await follow(gateway, url), 403)


async def test_a_url_ends_with_its_grant(cloudreve: StandIn, gateway: GatewayClient, hours: Hours) -> None:
    """What was given out in the last moment may still be used within the margin, for which nobody may keep it."""
    url = await given(gateway, ONE, cloudreve.token())
    assert (await follow(gateway, url)).status == 200
    hours.pass_by(3600 - MARGIN_S + 2)
    late = await follow(gateway, url)
    assert (late.status, late.max_age_s) == (200, 0)
    hours.pass_by(MARGIN_S)
    check_no_picture(await follow(gateway, url), 410)
    check_no_picture(await follow(gateway, url, If_None_Match=late.etag), 410)


async def test_a_urls_end_is_read_off_cloudreves_clock(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """A replica whose own clock is 20 minutes off opens it for no shorter and no longer."""
    right = await launcher.open(seal=KEYS)
    gateways = [right, await launcher.open(seal=KEYS, skew_s=1200.0), await launcher.open(seal=KEYS, skew_s=-1200.0)]
    url = await given(right, ONE, cloudreve.token())
    launcher.hours.pass_by(3500)
    assert [(await follow(gateway, url)).status for gateway in gateways] == [200, 200, 200]
    launcher.hours.pass_by(110)
    assert [(await follow(gateway, url)).status for gateway in gateways] == [410, 410, 410]


async def test_a_url_whose_signature_is_no_longer_honoured_is_gone(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """With every cache empty only the bytes could tell; whoever asks the API again is given one that works."""
    gateway = await launcher.open(seal=KEYS)
    url = await given(gateway, ONE, cloudreve.token())
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    check_no_picture(await follow(gateway, url), 410)
    renewed = await given(gateway, ONE, cloudreve.token())
    assert renewed != url
    assert (await follow(gateway, renewed)).status == 200
    check_no_picture(await follow(gateway, url), 410)
    assert await given(gateway, ONE, cloudreve.token()) == renewed


async def test_a_url_reveals_nothing(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Neither the File URI nor a share's password nor the signed URL, whatever one makes of it."""
    library = cloudreve.library
    url = await given(gateway, f"cloudreve://{library.private_share.id}:pw123@share/two.png")
    assert set(without_query(url)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    for word in ("pw123", library.private_share.id, "two.png", "share", "sign"):
        assert word not in url or len(word) < 6  # short words may be in it by chance


async def test_no_log_line_shows_a_url(cloudreve: StandIn, gateway: GatewayClient, log_entries: list[Any]) -> None:
    """Its owner sees the picture, so that the line names the route alone, however the request ends."""
    url = await given(gateway, ONE, cloudreve.token())
    for path in (url, url, url + "A", url + "?" + without_query(url)):
        await follow(gateway, path)
    lines = [json.dumps(entry, default=repr) for entry in log_entries]
    assert sum("/thumb/s/{sealed}" in line for line in lines) == 4
    for secret in (without_query(url)[:20], "one.png", cloudreve.token()[:40], "sign="):
        assert not [line for line in lines if secret in line]


@pytest.mark.parametrize(
    ("fault", "status"), [(Reset(), 503), (json_body('{"code":50001,"msg":"x"}'), 502)], ids=["resetting", "failing"]
)
async def test_an_upstream_in_trouble_is_told_as_elsewhere(
    cloudreve: StandIn, gateway: GatewayClient, fault: Fault, status: int
) -> None:
    """The URL is still good: nothing says 403 or 410, and the next request may succeed."""
    url = await given(gateway, in_share(cloudreve))
    cloudreve.fail("fetch", fault)
    check_no_picture(await follow(gateway, url), status)
    cloudreve.mend()
    assert (await follow(gateway, url)).status == 200


async def test_many_visitors_of_one_url_cost_one_fetch(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """As everywhere, and together with those who ask otherwise."""
    gateway = await launcher.open()
    urls = [
        await given(gateway, in_share(cloudreve), token) for token in (None, cloudreve.token(), cloudreve.token("bob"))
    ]
    replies = [reply for url in urls * 5 for reply in [await follow(gateway, url)]]
    assert {(reply.status, reply.body) for reply in replies} == {(200, replies[0].body)}
    assert cloudreve.calls.count("fetch") == 1


@pytest.mark.parametrize("etags", [True, False])
async def test_a_foreign_picture_is_asked_about_once_under_one_grant(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, etags: bool
) -> None:
    """Then the URL hits like any other, and after a renewal one conditional request brings no bytes."""
    cloudreve.foreign, cloudreve.foreign_etags = True, etags
    gateway = await launcher.open(cloudreve={"image_hosts": ["127.0.0.1"]})
    url = await given(gateway, in_share(cloudreve))
    first, second, third = [await follow(gateway, url) for _ in range(3)]
    assert [reply.is_hit for reply in (first, second, third)] == [False, True, True]
    assert first.body == second.body == third.body
    assert (await follow(gateway, url, If_None_Match=second.etag)).status == 304
    assert cloudreve.calls.count("fetch") == 1
    hours.pass_by(3600)
    renewed = await follow(gateway, await given(gateway, in_share(cloudreve)))
    assert renewed.body == first.body
    assert ["if-none-match" in call.headers for call in cloudreve.calls.of("fetch")] == [False, etags]
