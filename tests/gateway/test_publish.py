"""Folders that everybody may see with the rights of an account."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from proxy.standin.library import PASSWORD
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, statuses

ESCAPES = [
    "cloudreve://my/notes.txt",
    "cloudreve://my/日落 (1).png",
    "cloudreve://my/album/../日落 (1).png",
    "cloudreve://my/album/..%2f日落 (1).png",
    "cloudreve://my/album/%2e%2e/日落 (1).png",
    "cloudreve://my/album/%2E%2E%2F日落 (1).png",
    "cloudreve://my/album/.%2e/日落 (1).png",
    "cloudreve://my/album//../日落 (1).png",
    "cloudreve://my/album/./../日落 (1).png",
    "cloudreve://my/album/one.png/../../日落 (1).png",
    "cloudreve://my/album/x/../../日落 (1).png",
    "cloudreve://my/album/../../../日落 (1).png",
    "cloudreve://my/album/..%5c日落 (1).png",
    "cloudreve://my/album\\..\\日落 (1).png",
    "cloudreve://my/album%2f..%2f日落 (1).png",
    "cloudreve://my/album/..;/日落 (1).png",
    "cloudreve://my/album/%252e%252e/日落 (1).png",
    "cloudreve://my/album/..%00/日落 (1).png",
    "cloudreve://my/album/../日落 (1).png#/album/",
    "cloudreve://my/日落 (1).png?/album/",
    "cloudreve://my/日落 (1).png#cloudreve://my/album/",
    "cloudreve://my/Album/one.png",
    "cloudreve://my/ALBUM/one.png",
    "cloudreve://my/album",
    "cloudreve://my/album/",
    "cloudreve://my",
    "cloudreve://my/albums/one.png",
    "cloudreve://my/ album/one.png",
    "cloudreve://my/album /one.png",
    "cloudreve://my/x/album/one.png",
    "cloudreve://share/album/one.png",
    "cloudreve://trash/album/one.png",
    "cloudreve://shared_with_me/album/one.png",
    "cloudreve://@my/album/one.png",
    "cloudreve://my:80/album/one.png",
    "cloudreve://my@my/album/one.png",
    "cloudreve://{alice}@my/album/one.png",
    "cloudreve://{alice}@my/日落 (1).png",
    "cloudreve://{alice}:x@my/album/one.png",
    "cloudreve:///my/album/one.png",
    "cloudreve:my/album/one.png",
    "cloudreve://my/album/one.png/../../../{alice}@my/日落 (1).png",
]


def entry(**more: object) -> dict[str, object]:
    return {"prefix": "cloudreve://my/album", "email": "alice@example.org", "secret": PASSWORD, **more}


async def opened(launcher: GatewayLauncher, *entries: dict[str, object]) -> GatewayClient:
    return await launcher.open(publish=list(entries))


async def test_published_pictures_are_shown_to_everybody(launcher: GatewayLauncher, cloudreve: StandIn) -> None:
    """Without any credential, and for shared caches too, where the owner's id is named."""
    prefix = f"cloudreve://{cloudreve.library.alice.id}@my/album"
    gateway = await opened(launcher, entry(prefix=prefix))
    first, second = [await gateway.ask(f"{prefix}/one.png") for _ in range(2)]
    assert statuses([first, second]) == [200, 200]
    assert second.is_hit
    assert first.headers["Cache-Control"].startswith("public, max-age=")
    assert first.headers["Access-Control-Allow-Origin"] == "*"
    assert cloudreve.calls.count("sign-in") == 1


async def test_no_cache_gives_what_my_means_to_one_visitor_to_another(
    launcher: GatewayLauncher, cloudreve: StandIn
) -> None:
    """`my` without an id is another folder once somebody signs in: a browser asks each time, others keep nothing."""
    gateway = await opened(launcher, entry())
    first, second = await gateway.ask(ONE), await gateway.ask(ONE)
    again = await gateway.ask(ONE, etag=first.etag)
    for reply in (first, second, again):
        assert reply.headers["Cache-Control"] == "private, no-cache"
        assert "Cookie" in reply.headers["Vary"].split(", ")
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert statuses([first, second, again]) == [200, 200, 304]
    assert second.is_hit


@pytest.mark.parametrize("escape", ESCAPES)
async def test_nothing_outside_can_be_reached_that_way(
    launcher: GatewayLauncher, cloudreve: StandIn, escape: str
) -> None:
    """Whatever the spelling, in the account's name Cloudreve is asked for nothing but what lies below the prefix."""
    alice = cloudreve.library.alice.id
    gateway = await opened(launcher, entry())
    assert (await gateway.ask(ONE)).status == 200  # the account is signed in
    cloudreve.calls.forget()
    reply = await gateway.ask(escape.replace("{alice}", alice))
    assert reply.status in (400, 401, 403, 404)
    asked = [call.target for call in cloudreve.calls.of("resolve") if call.identity == alice]
    segments = [unquote(target).split("/") for target in asked]
    assert all(names[:4] == ["cloudreve:", "", "my", "album"] and ".." not in names for names in segments)


async def test_a_visitor_with_a_name_keeps_it(launcher: GatewayLauncher, cloudreve: StandIn) -> None:
    """A token comes before what is published: bob has no such file, and a bad one is refused."""
    gateway = await opened(launcher, entry())
    replies = [await gateway.ask(ONE, token) for token in (cloudreve.token("bob"), "garbage")]
    assert statuses(replies) == [404, 401]


async def test_pictures_the_account_sees_are_not_kept_for_others(launcher: GatewayLauncher, cloudreve: StandIn) -> None:
    """The account's grants are its own: bob, who comes by token, gets nothing of them."""
    gateway = await opened(launcher, entry())
    await gateway.ask(ONE)
    reply = await gateway.ask(f"cloudreve://{cloudreve.library.alice.id}@my/album/one.png", cloudreve.token("bob"))
    assert reply.status == 403


async def test_an_account_may_come_by_refresh_token_from_a_file(
    launcher: GatewayLauncher, cloudreve: StandIn, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(cloudreve.token(kind="refresh") + "\n")
    gateway = await opened(launcher, {"prefix": "cloudreve://my/album", "secret_file": str(secret)})
    assert (await gateway.ask(ONE)).status == 200
    assert cloudreve.calls.count("sign-in") == 0


async def test_the_token_is_kept_fresh(launcher: GatewayLauncher, cloudreve: StandIn) -> None:
    """Long after its life of an hour, new pictures are still resolved."""
    gateway = await opened(launcher, entry())
    await gateway.ask(ONE)
    for _ in range(3):
        launcher.hours.pass_by(5000)
        assert (await gateway.ask(ONE)).status == 200
    assert cloudreve.calls.count("refresh") >= 3
    assert cloudreve.calls.count("sign-in") == 1


async def test_an_account_that_fails_is_seen(
    launcher: GatewayLauncher, cloudreve: StandIn, log_entries: list[Any]
) -> None:
    """By visitors as 503, by operators in /readyz, the metrics and the log; everything else goes on."""
    gateway = await opened(launcher, entry(secret="wrong"))
    reply = await gateway.ask(ONE)
    assert reply.status == 503
    assert reply.headers["Retry-After"]
    told = [await gateway.send("GET", url) for url in ("/readyz", f"{gateway.admin}/readyz")]
    assert [(reply.status, reply.body.splitlines()[0]) for reply in told] == [(200, b"ready")] * 2
    assert told[0].body == b"ready\n", "reasons, addresses and paths are no visitor's affair"
    assert told[1].body.startswith(b"ready\npublish 1 fails: Cloudreve does not accept the email and password (")
    assert gateway.count("accounts_failing") == 1
    reasons = [entry["reason"] for entry in log_entries if entry["event"] == "account failed"]
    assert reasons == ["Cloudreve does not accept the email and password"]
    share = f"cloudreve://{cloudreve.library.share.id}@share/one.png"
    assert (await gateway.ask(share)).status == 200
    assert cloudreve.calls.count("sign-in") == 1  # failed sign-ins are counted against the account


async def test_a_secret_that_cannot_be_read_fails_for_so_long(
    launcher: GatewayLauncher, cloudreve: StandIn, tmp_path: Path, log_entries: list[Any]
) -> None:
    """While it is being replaced, for example; the log says why."""
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    cloudreve.refresh_life_s = 0.0
    gateway = await opened(launcher, entry(secret=None, secret_file=str(secret)))
    shown = await gateway.ask(ONE)
    secret.unlink()
    launcher.hours.pass_by(2 * cloudreve.access_life_s)
    failed = await gateway.ask(ONE)
    secret.write_text(PASSWORD)
    launcher.hours.pass_by(60.0)
    assert statuses([shown, failed, await gateway.ask(ONE)]) == [200, 503, 200]
    reasons = [event["reason"] for event in log_entries if event["event"] == "account failed"]
    assert set(reasons) == {"secret_file cannot be read"}


async def test_published_pictures_have_sealed_urls_too(launcher: GatewayLauncher) -> None:
    gateway = await opened(launcher, entry())
    reply = await gateway.send("GET", f"/api/v4/file/thumb?uri={quote(ONE, safe='')}")
    assert b'"code":0' in reply.body.replace(b" ", b"")
