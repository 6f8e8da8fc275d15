"""Naming visitors: what is remembered of a token, for how long, and that nobody is taken for another."""

from __future__ import annotations

import asyncio
import json
import math
from base64 import urlsafe_b64encode

import pytest

from proxy.domain.credentials import Credentials
from proxy.domain.errors import Busy, InvalidToken, UpstreamError
from proxy.domain.identity import ANONYMOUS, IdentityKind
from proxy.domain.request_fields import TICKET
from proxy.domain.session import SessionRef
from proxy.identity.identify import SignedIn
from proxy.identity.whoami import REFUSED_TOKENS
from proxy.sessions.lifecycle import Sessions
from proxy.standin.faults import Hang, json_body
from tests.harness.steps import Steps


def token_of(claims: dict[str, object], algorithm: str = "HS256") -> str:
    """Make a token that Cloudreve has not signed."""
    parts = (json.dumps(part).encode() for part in ({"alg": algorithm, "typ": "JWT"}, claims))
    return ".".join([*(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "c2lnbmF0dXJl"])


async def test_a_visitor_without_credentials_stays_anonymous(taken: Steps) -> None:
    visitor = await taken.identifier.identify(Credentials())
    assert (visitor.identity, visitor.sure_until) == (ANONYMOUS, math.inf)
    assert taken.site.calls.count("whoami") == 0


async def test_a_ticket_makes_another_nobody(taken: Steps) -> None:
    """Two tickets are two identities, and neither shows the ticket."""
    tickets = [Credentials(fields=((TICKET, text),)) for text in ("one", "other")]
    one, other = [(await taken.identifier.identify(credentials)).identity for credentials in tickets]
    assert one.kind is other.kind is IdentityKind.ANONYMOUS
    assert len({one, other, ANONYMOUS}) == 3
    assert "one" not in repr(one)


async def test_a_user_is_sure_until_the_token_or_the_belief_ends(taken: Steps) -> None:
    for life_s, sure_s in ((3600.0, 300.0), (100.0, 100.0)):
        visitor = await taken.identifier.identify(Credentials(taken.site.token(life_s=life_s)))
        assert visitor.identity.subject == taken.site.library.alice.id
        assert visitor.sure_until - taken.clock.now() == pytest.approx(sure_s, abs=2.5)


async def test_a_visitor_with_a_session_is_sure_until_sign_outs_are_to_be_read_again(
    taken: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, until = taken.site.library.alice, taken.clock.now() + 1.5
    found = SignedIn(taken.site.token(), SessionRef(account.id, "one", 0.0), until, None)

    async def signed_in(_: Sessions, _cookie: str) -> SignedIn:
        return found

    monkeypatch.setattr(Sessions, "signed_in", signed_in)
    visitor = await taken.identifier.identify(Credentials(cookie="sealed"))
    assert (visitor.identity.subject, visitor.sure_until) == (account.id, until)


async def test_a_token_is_looked_at_again_when_its_time_is_over(taken: Steps) -> None:
    token = taken.site.token(life_s=7200)
    for seconds, calls in ((0, 1), (290, 1), (20, 2)):
        taken.hours.pass_by(seconds)
        await taken.identifier.identify(Credentials(token))
        assert taken.site.calls.count("whoami") == calls


async def test_a_token_that_cannot_be_read_stands_for_itself_and_not_for_long(taken: Steps) -> None:
    """Two of them are two identities, though Cloudreve names the same user: their rights may differ."""
    taken.site.fail("whoami", json_body('{"sub":"abcd"}'))
    one, other = [
        await taken.identifier.identify(Credentials(text)) for text in (token_of({"n": 1}), token_of({"n": 2}))
    ]
    assert one.identity.subject == other.identity.subject == "abcd"
    assert one.identity != other.identity
    assert one.sure_until - taken.clock.now() < 3
    taken.hours.pass_by(3)
    await taken.identifier.identify(Credentials(token_of({"n": 1})))
    assert taken.site.calls.count("whoami") == 3


async def test_a_token_that_names_another_than_cloudreve_does_is_nobody_elses(taken: Steps) -> None:
    """What it says of client and scopes is not believed then."""
    taken.site.fail("whoami", json_body('{"sub":"abcd"}'), times=1)
    visitor = await taken.identifier.identify(Credentials(taken.site.token(client="app", scopes=("Files.Read",))))
    assert (visitor.identity.subject, visitor.identity.scopes) == ("abcd", ())
    assert visitor.identity.client not in ("", "app")


async def test_a_failure_is_not_remembered_and_a_refusal_briefly(taken: Steps) -> None:
    """A call that failed says nothing about the token; one that was refused spares the next ones."""
    taken.site.fail("whoami", json_body("null"), times=1)
    token = taken.site.token()
    with pytest.raises(UpstreamError):
        await taken.identifier.identify(Credentials(token))
    assert (await taken.identifier.identify(Credentials(token))).identity.subject
    for _ in range(3):
        with pytest.raises(InvalidToken):
            await taken.identifier.identify(Credentials(token_of({})))
    assert taken.site.calls.count("whoami") == 3


async def test_time_that_passes_while_cloudreve_answers_counts(taken: Steps) -> None:
    """A token that ends meanwhile is accepted this once by Cloudreve's word, and not remembered beyond its end."""
    hang = Hang()
    token = taken.site.token(life_s=100)
    taken.site.fail("whoami", hang, times=1)
    hang.until.set()
    visitor = await taken.identifier.identify(Credentials(token))
    taken.hours.pass_by(101)
    assert visitor.sure_until <= taken.clock.now()
    with pytest.raises(InvalidToken):
        await taken.identifier.identify(Credentials(token))


@pytest.mark.parametrize(
    "token",
    [
        "garbage",
        "a.b.c",
        token_of({}, algorithm="none"),
        token_of({}, algorithm="RS256"),
        token_of({"exp": 1_700_000_000}),
        token_of({"exp": "soon"}),
        token_of({}) + ".x",
        token_of({}) + "=",
    ],
)
async def test_a_token_that_cannot_be_cloudreves_costs_no_call(taken: Steps, token: str) -> None:
    with pytest.raises(InvalidToken):
        await taken.identifier.identify(Credentials(token), client="192.0.2.1")
    assert taken.site.calls.count("whoami") == 0


async def test_made_up_tokens_of_one_client_are_asked_about_so_many_times_only(taken: Steps) -> None:
    """Beyond that it is told to wait; others are not, whom Cloudreve knows or does not."""
    identify = taken.identifier.identify
    for number in range(REFUSED_TOKENS):
        with pytest.raises(InvalidToken):
            await identify(Credentials(token_of({"n": number})), client="192.0.2.1")
    for number in range(REFUSED_TOKENS, 3 * REFUSED_TOKENS):
        with pytest.raises(Busy):
            await identify(Credentials(token_of({"n": number})), client="192.0.2.1")
    assert taken.site.calls.count("whoami") == REFUSED_TOKENS
    token = taken.site.token()
    assert (await identify(Credentials(token), client="192.0.2.2")).identity.subject
    assert (await identify(Credentials(token), client="192.0.2.1")).identity.subject, "it is known by now"
    with pytest.raises(InvalidToken):
        await identify(Credentials(token_of({"n": 1})), client="192.0.2.2")
    taken.hours.pass_by(3)
    with pytest.raises(InvalidToken):
        await identify(Credentials(token_of({"n": 99_999})), client="192.0.2.1")


async def test_a_token_that_waits_in_a_flood_is_asked_about_at_once_for_another(taken: Steps) -> None:
    """Both have sent it, and it is not refused as one too many of the flood's."""
    identify, hang = taken.identifier.identify, Hang()
    taken.site.fail("whoami", hang, times=16)
    flood = [
        asyncio.create_task(identify(Credentials(token_of({"n": number})), client="192.0.2.1"))
        for number in range(REFUSED_TOKENS + 20)
    ]
    await taken.site.calls.arrived("whoami", 14)
    other = asyncio.create_task(identify(Credentials(token_of({"n": REFUSED_TOKENS + 19})), client="192.0.2.2"))
    await taken.site.calls.arrived("whoami", 15)
    hang.until.set()
    with pytest.raises(InvalidToken):
        await other
    await asyncio.gather(*flood, return_exceptions=True)


async def test_another_s_token_does_not_wait_behind_a_flood(taken: Steps) -> None:
    """Cloudreve answers nothing of the flood, and one call in eight is never one client's."""
    identify, hang = taken.identifier.identify, Hang()
    taken.site.fail("whoami", hang, times=14)
    flood = [
        asyncio.create_task(identify(Credentials(token_of({"n": number})), client="192.0.2.1")) for number in range(300)
    ]
    await taken.site.calls.arrived("whoami", 14)
    visitor = await identify(Credentials(taken.site.token()), client="192.0.2.2")
    assert visitor.identity.subject == taken.site.library.alice.id
    assert sum(isinstance(task.exception(), Busy) for task in flood if task.done()) == 50, "of 250 places"
    hang.until.set()
    await asyncio.gather(*flood, return_exceptions=True)
