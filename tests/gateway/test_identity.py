"""The visitor decides which picture is shown: nobody gets another's, by whatever way it was cached."""

from __future__ import annotations

import asyncio
import json
from itertools import permutations
from urllib.parse import urlsplit

import pytest

from proxy.standin.standin import StandIn
from tests.harness.browser import Browser
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Hours, in_share, statuses

READ = ("Files.Read", "openid", "profile")
NO_FILES = ("openid", "profile")


async def test_equal_uris_of_two_users_are_two_files(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """`my` is the asking user's: each sees their own picture, again and again, and no validator fits the other's."""
    for account in cloudreve.library.accounts:
        cloudreve.library.put(account, "/same.png")
    alice, bob = cloudreve.token("alice"), cloudreve.token("bob")
    hers = await gateway.ask("cloudreve://my/same.png", alice)
    for _ in range(3):
        his = await gateway.ask("cloudreve://my/same.png", bob, etag=hers.etag)
        assert (his.status, his.body != hers.body, his.etag != hers.etag) == (200, True, True)
        assert (await gateway.ask("cloudreve://my/same.png", alice)).body == hers.body
        assert (await gateway.ask("cloudreve://my/same.png", etag=hers.etag)).status == 401


async def test_two_users_who_ask_at_once_board_no_common_flight(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Their questions are under way together, and each gets the answer to their own."""
    for account in cloudreve.library.accounts:
        cloudreve.library.put(account, "/same.png")
    cloudreve.generator.gate = gate = asyncio.Event()
    tasks = [asyncio.create_task(gateway.ask("cloudreve://my/same.png", cloudreve.token(n))) for n in ("alice", "bob")]
    tasks.append(asyncio.create_task(gateway.ask("cloudreve://my/same.png")))
    await cloudreve.calls.arrived("resolve", 3)
    gate.set()
    hers, his, nobodys = await asyncio.gather(*tasks)
    assert statuses([hers, his, nobodys]) == [200, 200, 401]
    assert hers.body != his.body
    assert [sorted(call.identity for call in cloudreve.calls.of("resolve"))] == [
        sorted([cloudreve.library.alice.id, cloudreve.library.bob.id, "anonymous"])
    ]


@pytest.mark.parametrize("order", list(permutations(("none", "wrong", "right"))), ids="-".join)
async def test_a_purchase_ticket_opens_to_its_bearer_alone(
    cloudreve: StandIn, gateway: GatewayClient, order: tuple[str, ...]
) -> None:
    """In whatever order they come: without the ticket, or with another, it is 402, and no validator changes that."""
    share = cloudreve.library.publish(cloudreve.library.alice, "/album", ticket="bought")
    uri = f"cloudreve://{share.id}@share/one.png"
    asked = {"none": {}, "wrong": {"ticket": "other"}, "right": {"ticket": "bought"}}
    for _ in range(2):
        for name in order:
            reply = await gateway.ask(uri, **asked[name])
            assert reply.status == (200 if name == "right" else 402)
    assert (await gateway.ask(uri, cloudreve.token("bob"))).status == 402
    assert (await gateway.ask(uri, cloudreve.token("alice"))).status == 200
    bought = await gateway.ask(uri, ticket="bought")
    assert bought.headers["Cache-Control"].startswith("private, ")
    assert (await gateway.ask(uri, etag=bought.etag)).status == 402


@pytest.mark.parametrize("first", [0, 1])
async def test_two_oauth_tokens_of_one_user_keep_their_own_rights(
    cloudreve: StandIn, gateway: GatewayClient, first: int
) -> None:
    """The one without a right to files gets 403 though whoami names the same user; order does not matter."""
    tokens = [(cloudreve.token(client="app", scopes=READ), 200), (cloudreve.token(client="app", scopes=NO_FILES), 403)]
    for token, status in [tokens[first], tokens[1 - first]] * 2:
        reply = await gateway.ask(ONE, token)
        assert reply.status == status
        assert status == 200 or reply.problem["code"] == 40089
    assert (await gateway.ask(ONE, cloudreve.token())).status == 200
    assert cloudreve.calls.count("resolve") == 3


async def test_two_clients_of_one_user_are_two_identities(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Cloudreve itself judges each; scopes in another order are the same."""
    await gateway.ask(ONE, cloudreve.token(client="app", scopes=READ))
    await gateway.ask(ONE, cloudreve.token(client="other", scopes=READ))
    assert cloudreve.calls.count("resolve") == 2
    reply = await gateway.ask(ONE, cloudreve.token(client="app", scopes=tuple(reversed(READ)), life_s=7000))
    assert (reply.is_hit, cloudreve.calls.count("resolve")) == (True, 2)


async def test_two_sign_ins_of_one_user_are_one_identity(cloudreve: StandIn, gateway: GatewayClient) -> None:
    await gateway.ask(ONE, cloudreve.token(life_s=3600))
    reply = await gateway.ask(ONE, cloudreve.token(life_s=3000))
    assert (reply.is_hit, cloudreve.calls.count("resolve"), cloudreve.calls.count("whoami")) == (True, 1, 2)


async def test_a_share_for_members_only_stays_so(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """After a member has filled the cache anonymous still hears 401."""
    cloudreve.library.share.members_only = True
    for _ in range(2):
        assert (await gateway.ask(in_share(cloudreve), cloudreve.token("bob"))).status == 200
        assert (await gateway.ask(in_share(cloudreve))).status == 401


async def test_cloudreve_is_asked_in_the_name_of_the_visitor(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Each resolve carries the credentials of its visitor alone; context hint, cookie and address stay here."""
    bob = cloudreve.token("bob")
    hint = "11111111-2222-4333-8444-555555555555"
    sold = cloudreve.library.publish(cloudreve.library.alice, "/album", ticket="his")
    await gateway.ask(f"cloudreve://{sold.id}@share/one.png", bob, ticket="his", hint=hint)
    await gateway.ask(in_share(cloudreve), hint=hint, Cookie="session=x", X_Forwarded_For="1.2.3.4")
    without, his, nobodys = (call.headers for call in cloudreve.calls.of("resolve"))
    assert (his["authorization"], his["x-cr-purchase-ticket"]) == (f"Bearer {bob}", "his")
    constant = {"host", "accept", "accept-encoding", "user-agent"}
    assert constant | {"authorization"} == set(without)
    assert constant | {"authorization", "x-cr-purchase-ticket"} == set(his)
    assert constant == set(nobodys)


async def test_a_token_that_ends_takes_its_pictures_with_it(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours
) -> None:
    """The grant would count for another hour; without a token that is valid nobody may use it."""
    token = cloudreve.token(life_s=100)
    for _ in range(3):
        assert (await gateway.ask(ONE, token)).status == 200
    hours.pass_by(101)
    reply = await gateway.ask(ONE, token)
    assert (reply.status, 'error="invalid_token"' in reply.headers["WWW-Authenticate"]) == (401, True)
    assert (await gateway.ask(ONE, cloudreve.token())).is_hit


async def test_a_token_is_believed_for_minutes_and_then_looked_at_again(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours
) -> None:
    """A site that changes its key locks everybody out, within the time that the configuration gives."""
    token = cloudreve.token(life_s=7200)
    assert (await gateway.ask(ONE, token)).status == 200
    cloudreve.secret = "another-key"
    hours.pass_by(290)
    assert (await gateway.ask(ONE, token)).status == 200
    hours.pass_by(20)
    assert (await gateway.ask(ONE, token)).status == 401
    assert cloudreve.calls.count("whoami") == 2


async def test_known_users_are_served_while_nobody_can_be_identified(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours
) -> None:
    """Then they too are told to come again, and are never taken for anonymous, not even on a public share."""
    token = cloudreve.token(life_s=7200)
    assert (await gateway.ask(in_share(cloudreve), token)).status == 200
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    await cloudreve.stop()
    assert (await gateway.ask(in_share(cloudreve), token)).is_hit
    hours.pass_by(301)
    assert (await gateway.ask(in_share(cloudreve), token)).status == 503
    assert (await gateway.ask(in_share(cloudreve))).is_hit


async def test_passwords_of_a_share_are_not_mixed(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """The right one opens; after it a wrong one, an empty one and one with another case are refused as before."""
    share = cloudreve.library.private_share.id
    for _ in range(2):
        assert (await gateway.ask(f"cloudreve://{share}:pw123@share/one.png")).status == 200
        for wrong in ("", ":", ":PW123", ":pw1234", ":pw123%00", ":pw123%20"):
            assert (await gateway.ask(f"cloudreve://{share}{wrong}@share/one.png")).status in (400, 403), wrong


async def test_credentials_that_are_ambiguous_are_refused(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Two tokens, none at all, or one with a blank in it: 401; two tickets: 400."""
    path = f"/thumb?uri={in_share(cloudreve)}"
    token = cloudreve.token()
    for value in ("Bearer", "Bearer ", f"Bearer {token} x", f"Bearer {token},Bearer x"):
        reply = await gateway.send("GET", path, {"Authorization": value})
        assert (reply.status, reply.problem["title"]) == (401, "Unauthorized"), value
    assert (await gateway.send("GET", path, {"Authorization": f"bEARER  {token}"})).status == 200
    assert (await gateway.send("GET", path, {"X-Cr-Purchase-Ticket": "a b"})).status == 400
    assert (await gateway.send("GET", path, {"X-Cr-Purchase-Ticket": ""})).status == 400
    assert cloudreve.calls.count("resolve") == 1


SCHEMES = ["", "Basic YWxpY2U6cHc=", 'Digest username="alice"', "Negotiate YII=", "Token x"]


@pytest.mark.parametrize("field", SCHEMES)
async def test_basic_credentials_for_a_proxy_in_front_are_ignored(
    cloudreve: StandIn, launcher: GatewayLauncher, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """With nginx' `auth_basic` browsers send it with every request; it goes neither to Cloudreve nor to storage."""
    gateway = await launcher.open()
    browser = Browser(gateway)
    await browser.sign_in(cloudreve.token())
    monkeypatch.setitem(browser.headers, "Authorization", field)
    link = await browser.send("GET", f"/api/v4/file/thumb?uri={in_share(cloudreve)}")
    sealed = urlsplit(json.loads(link.body)["data"]["url"])
    paths = (f"/thumb?uri={ONE}", f"/thumb?uri={in_share(cloudreve)}", sealed.path, "/session")
    replies = [await browser.send("GET", path) for path in paths]
    assert [reply.status for reply in replies] == [200] * 4
    assert (await browser.send("DELETE", "/session")).status == 204
    assert (await browser.send("POST", "/session")).problem["status"] == 401
    sent = {call.headers.get("authorization", "") for call in cloudreve.calls.all}
    assert cloudreve.calls.count("fetch") == 1
    assert all(line.startswith("Bearer ") for line in sent - {""})
