"""Sessions: renewed once for everybody, behind the visitor's back where there is time, and over when they are over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

import aiohttp
import pytest

from proxy.cache.shared_values import SharedValues
from proxy.coalesce.local_singleflight import LocalSingleflight
from proxy.coalesce.messages import Stored
from proxy.coalesce.singleflight import Singleflight
from proxy.coalesce.work_sharing import Loader, WorkSharing
from proxy.domain.errors import Unreachable, UpstreamError
from proxy.domain.keys import renewal_key
from proxy.domain.seal import Sealer
from proxy.domain.ssrf import Origins
from proxy.observe.span import Observer
from proxy.sessions.lifecycle import OVER, LiveSession, Sessions
from proxy.sessions.sign_outs import SignOuts
from proxy.settings import CloudreveSettings, GrantSettings, SignInSettings
from proxy.standin.faults import Hang, Reset, json_body
from proxy.standin.library import Account
from proxy.standin.standin import StandIn
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.oauth import OAuth
from proxy.upstream.token_answers import Tokens

EARLY_S = 3550.0
"""Into the hour of an access token: renewed, but still good."""
LATE_S = 3601.0
SHARE = 20
T = TypeVar("T")


class SessionReplica:
    """One replica's sessions in front of a stand-in, whose clock is the only one there is."""

    sharing: WorkSharing = LocalSingleflight()

    def __init__(self, cloudreve: StandIn, outside: aiohttp.ClientSession, key: str = "k" * 32) -> None:
        self._cloudreve = cloudreve
        self.clock = Clock(cloudreve.now)
        settings = CloudreveSettings(url=cloudreve.own_url)
        upstream = Cloudreve(outside, self.clock, Origins(settings.url), Observer(), settings, GrantSettings())
        self.shared_values = SharedValues(None, cloudreve.now)
        self.singleflight = Singleflight[str](100)
        self.sign_outs = SignOuts((), self.clock)
        oauth = OAuth(upstream, Observer(), SignInSettings())
        self.sessions = Sessions(
            Sealer([key]),
            oauth,
            self.shared_values,
            self.sign_outs,
            self.sharing,
            self.clock,
            self.singleflight,
            "the-site",
        )

    def begin(self, *, refresh: bool = True) -> str:
        """Begin a session with tokens as Cloudreve gives them; give its cookie."""
        alice = self._cloudreve.library.alice
        renewing = _refresh_token(self._cloudreve, alice) if refresh else ""
        return self.sessions.begin(Tokens(self._cloudreve.token("alice"), renewing))[1].value

    async def landed(self) -> None:
        """Wait until every renewal under way has ended."""
        while self.singleflight:  # noqa: ASYNC110 - a flight tells nobody but who waits for it
            await asyncio.sleep(0)

    async def end(self, cookie: str) -> bool:
        """End a session, and wait until all have been told; tell whether there was one."""
        ending = self.sessions.end(cookie)
        return ending is not None and bool(await ending.told)

    async def enter(self, cookie: str) -> LiveSession:
        """Open a cookie that is good."""
        entered = await self.sessions.enter(cookie)
        assert entered is not None
        return entered


def _refresh_token(cloudreve: StandIn, account: Account) -> str:
    return cloudreve.issue(account, "refresh", cloudreve.refresh_life_s, "c", ("openid", "offline_access"), "a-root")


@pytest.fixture
async def outside() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def replica(cloudreve: StandIn, outside: aiohttp.ClientSession) -> AsyncIterator[SessionReplica]:
    made = SessionReplica(cloudreve, outside)
    yield made
    await made.singleflight.aclose()


async def test_a_session_is_entered_without_a_call(cloudreve: StandIn, replica: SessionReplica) -> None:
    entered = await replica.enter(replica.begin())
    assert entered.renewed is None
    assert cloudreve.calls.all == []


async def test_many_who_come_too_late_cause_one_refresh(cloudreve: StandIn, replica: SessionReplica) -> None:
    """They all wait for it, get the same renewed session, and may all tell their browsers."""
    cookie = replica.begin()
    cloudreve.clock_offset_s += LATE_S
    entered = await asyncio.gather(*(replica.enter(cookie) for _ in range(SHARE)))
    renewed = {each.renewed.value for each in entered if each.renewed is not None}
    assert (len(entered), len(renewed)) == (SHARE, 1)
    assert {each.session.access for each in entered} != {(await replica.enter(renewed.pop())).session.access, ""}
    assert cloudreve.calls.count("refresh") == 1


class FindsStored(LocalSingleflight):
    """Leads, and finds that another has stored the outcome meanwhile."""

    async def share(self, loader: Loader[T], turn: str | None = None) -> T:  # noqa: ARG002 - none is needed
        """Give what was stored."""
        found = await loader.read(Stored(b"as it is stored"))
        assert found is not None
        return found


async def test_what_was_stored_before_the_lead_was_taken_needs_no_second_read(
    cloudreve: StandIn, outside: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SessionReplica, "sharing", FindsStored())
    replica = SessionReplica(cloudreve, outside)
    held = {b"as it is stored": OVER}
    monkeypatch.setattr(replica.shared_values, "opened", lambda _, value: held[value])
    monkeypatch.setattr(replica.shared_values, "get", None)
    cookie = replica.begin()
    cloudreve.clock_offset_s += LATE_S
    assert await replica.sessions.enter(cookie) is None
    assert cloudreve.calls.count("refresh") == 0
    await replica.singleflight.aclose()


async def test_an_old_cookie_keeps_working_after_the_renewal(cloudreve: StandIn, replica: SessionReplica) -> None:
    """Requests that were on their way, and browsers that missed the answer, bring it still; nobody renews again."""
    cookie = replica.begin()
    cloudreve.clock_offset_s += LATE_S
    first, again = await replica.enter(cookie), await replica.enter(cookie)
    assert first.session == again.session
    assert again.renewed is not None
    assert cloudreve.calls.count("refresh") == 1


async def test_nobody_waits_for_a_renewal_in_time(cloudreve: StandIn, replica: SessionReplica) -> None:
    """The old token serves while the new one is on its way; then the new one does, at the next occasion."""
    cookie = replica.begin()
    cloudreve.clock_offset_s += EARLY_S
    hang = Hang()
    cloudreve.fail("refresh", hang, times=1)
    early = [await replica.enter(cookie) for _ in range(3)]
    assert [each.renewed for each in early] == [None] * 3
    hang.until.set()
    await cloudreve.calls.ended("refresh")
    await replica.landed()
    assert (await replica.enter(cookie)).renewed is not None
    assert cloudreve.calls.count("refresh") == 1


async def test_trouble_in_time_is_nobody_s_trouble(cloudreve: StandIn, replica: SessionReplica) -> None:
    """Only when the token has run out is there nothing else to do than to say so."""
    cookie = replica.begin()
    cloudreve.fail("refresh", Reset())
    cloudreve.clock_offset_s += EARLY_S
    assert (await replica.enter(cookie)).renewed is None
    await cloudreve.calls.ended("refresh")
    cloudreve.clock_offset_s += LATE_S - EARLY_S
    with pytest.raises(Unreachable):
        await replica.enter(cookie)
    cloudreve.mend()
    assert (await replica.enter(cookie)).renewed is not None


@pytest.mark.parametrize("answer", ["[]", '{"code":50001,"msg":"Database operation failed"}', '{"code":0,"data":{}}'])
async def test_an_answer_that_cannot_be_understood_ends_no_session(
    cloudreve: StandIn, replica: SessionReplica, answer: str
) -> None:
    """It is upstream's error, and the next visitor may fare better."""
    cookie = replica.begin()
    cloudreve.clock_offset_s += LATE_S
    cloudreve.fail("refresh", json_body(answer), times=1)
    with pytest.raises(UpstreamError):
        await replica.enter(cookie)
    assert await replica.enter(cookie)


@pytest.mark.parametrize("into_s", [EARLY_S, LATE_S])
async def test_a_session_that_cloudreve_refuses_to_renew_is_over(
    cloudreve: StandIn, replica: SessionReplica, into_s: float
) -> None:
    """Signed out elsewhere, password changed: it is no session any more, and asked about once a minute at most."""
    cookie = replica.begin()
    cloudreve.revoked.add("a-root")
    cloudreve.clock_offset_s += into_s
    await replica.sessions.enter(cookie)
    await cloudreve.calls.ended("refresh")
    await replica.landed()
    for _ in range(SHARE):
        assert await replica.sessions.enter(cookie) is None
    assert cloudreve.calls.count("refresh") == 1
    cloudreve.clock_offset_s += 61
    assert await replica.sessions.enter(cookie) is None
    assert cloudreve.calls.count("refresh") == 2


async def test_a_session_without_a_refresh_token_ends_with_its_token(
    cloudreve: StandIn, replica: SessionReplica
) -> None:
    """A little before, so that Cloudreve is not asked with a token that runs out on the way."""
    cookie = replica.begin(refresh=False)
    cloudreve.clock_offset_s += EARLY_S
    assert await replica.enter(cookie)
    cloudreve.clock_offset_s += 46
    assert await replica.sessions.enter(cookie) is None
    assert cloudreve.calls.all == []


async def test_a_very_old_cookie_is_renewed_from_its_own_refresh_token(
    cloudreve: StandIn, replica: SessionReplica
) -> None:
    """Its renewed session has run out meanwhile and is forgotten; Cloudreve's refresh tokens serve again."""
    cookie = replica.begin()
    for _ in range(3):
        cloudreve.clock_offset_s += LATE_S
        assert (await replica.enter(cookie)).renewed is not None
    assert cloudreve.calls.count("refresh") == 3
    cloudreve.clock_offset_s += cloudreve.refresh_life_s
    assert await replica.sessions.enter(cookie) is None


async def test_an_old_cookie_is_led_on_to_the_newest_session(cloudreve: StandIn, replica: SessionReplica) -> None:
    cookie = replica.begin()
    cloudreve.clock_offset_s += LATE_S
    second = await replica.enter(cookie)
    assert second.renewed is not None
    cloudreve.clock_offset_s += EARLY_S
    assert (await replica.enter(cookie)).session == second.session
    await cloudreve.calls.ended("refresh", 2)
    await replica.landed()
    third = await replica.enter(cookie)
    assert third.renewed is not None
    assert third.session.access not in ("", second.session.access)
    assert third.session.id == second.session.id


async def test_a_visitor_who_leaves_takes_no_renewal_along(cloudreve: StandIn, replica: SessionReplica) -> None:
    cookie = replica.begin()
    cloudreve.clock_offset_s += LATE_S
    hang = Hang()
    cloudreve.fail("refresh", hang, times=1)
    leaver, stayer = (asyncio.create_task(replica.enter(cookie)) for _ in range(2))
    await cloudreve.calls.arrived("refresh")
    leaver.cancel()
    await asyncio.wait({leaver})
    hang.until.set()
    assert (await stayer).renewed is not None
    assert cloudreve.calls.count("refresh") == 1


async def test_a_session_that_has_ended_is_not_renewed(cloudreve: StandIn, replica: SessionReplica) -> None:
    """Not even by a cookie that was copied before; and Cloudreve hears of the end."""
    cookie = replica.begin()
    assert await replica.end(cookie)
    cloudreve.clock_offset_s += LATE_S
    assert await replica.sessions.enter(cookie) is None
    assert cloudreve.calls.count("refresh") == 0
    assert cloudreve.revoked == {"a-root"}


async def test_a_renewed_session_ends_with_the_one_it_came_from(cloudreve: StandIn, replica: SessionReplica) -> None:
    """Whichever of its cookies signs out: an answer under way may have set the newer one."""
    old = replica.begin()
    cloudreve.clock_offset_s += LATE_S
    renewed = (await replica.enter(old)).renewed
    assert renewed is not None
    assert await replica.end(old)
    assert await replica.sessions.enter(renewed.value) is None


async def test_the_end_of_a_value_that_is_no_session_tells_nobody(cloudreve: StandIn, replica: SessionReplica) -> None:
    assert not await replica.end("garbage")
    assert cloudreve.calls.all == []


async def test_a_session_ends_here_though_cloudreve_cannot_be_told(cloudreve: StandIn, replica: SessionReplica) -> None:
    cookie = replica.begin()
    cloudreve.fail("revoke", Reset())
    assert await replica.end(cookie)
    assert await replica.sessions.enter(cookie) is None


async def test_a_visitor_who_signs_out_may_leave_at_once(cloudreve: StandIn, replica: SessionReplica) -> None:
    """As browsers do that go on to another page: the session has ended here at once, and Cloudreve hears of it."""
    cookie, another = replica.begin(), replica.begin()
    assert await replica.enter(cookie)  # and so it is believed for a while
    ending = replica.sessions.end(cookie)
    assert ending is not None
    ending.told.cancel()
    assert await replica.sessions.enter(cookie) is None
    await cloudreve.calls.ended("revoke")
    assert await replica.enter(another)
    assert cloudreve.revoked == {"a-root"}


async def test_a_session_that_ends_while_the_stores_are_asked_has_ended(
    replica: SessionReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie, asked, answered = replica.begin(), asyncio.Event(), asyncio.Event()

    async def sure_until() -> float:
        asked.set()
        await answered.wait()
        return replica.clock.now() + 60

    monkeypatch.setattr(replica.sign_outs, "sure_until", sure_until)
    early = asyncio.create_task(replica.sessions.enter(cookie))
    await asked.wait()
    assert await replica.end(cookie)
    answered.set()
    assert await early is None
    assert await replica.sessions.enter(cookie) is None


async def test_a_user_s_own_sign_in_is_left_alone(cloudreve: StandIn, replica: SessionReplica) -> None:
    """A session that was begun with a mere access token ends here only."""
    assert await replica.end(replica.begin(refresh=False))
    assert cloudreve.calls.all == []


async def test_a_note_that_another_key_has_sealed_is_none(
    cloudreve: StandIn, replica: SessionReplica, outside: aiohttp.ClientSession
) -> None:
    """Replicas without a common key do their own work, and no cookie of the one is a session to the other."""
    other = SessionReplica(cloudreve, outside, key="o" * 32)
    assert await other.sessions.enter(replica.begin()) is None


async def test_a_session_is_not_renewed_to_another(cloudreve: StandIn, replica: SessionReplica) -> None:
    """Though the other is good, and stands where its own renewal should."""
    cookies = [replica.begin()]
    cloudreve.clock_offset_s += 1  # else both would have the same refresh token
    cookies.append(replica.begin())
    refresh_tokens = [(await replica.enter(cookie)).session.refresh for cookie in cookies]
    cloudreve.clock_offset_s += LATE_S
    other = await replica.enter(cookies[1])
    note = replica.shared_values.get_nowait(renewal_key(refresh_tokens[1]))
    assert note is not None
    replica.shared_values.set_nowait(renewal_key(refresh_tokens[0]), note, 60.0)
    assert await replica.sessions.enter(cookies[0]) is None
    assert (await replica.enter(cookies[1])).session == other.session
