"""The hit path without a server around it: what ends an answer, within the very second."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, cast
from weakref import ref

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.cache.memory_tier import MemoryTier
from proxy.cache.shared_picture import SharedPicture
from proxy.cache.tier import SharedTier
from proxy.cache.tiers import Tiers
from proxy.domain.codec import encode
from proxy.domain.grant import Grant
from proxy.domain.identity import ANONYMOUS
from proxy.domain.keys import picture_key
from proxy.domain.picture import Picture
from proxy.domain.refusal import Refusal, RefusalKind
from proxy.domain.response_fields import Handling
from proxy.domain.source import Source
from proxy.domain.tags import files_tag, share_tag
from proxy.domain.value_seal import ValueSeal
from proxy.fastpath.entry import FinishedAnswer, HeadAndBody
from proxy.fastpath.index import FastPath
from proxy.fastpath.key import Key, Keys, PendingRequest
from proxy.fastpath.redis_hits import TOGETHER, Read
from proxy.grants.found_grant import FoundGrant
from proxy.grants.invalidation import Invalidations
from proxy.grants.validity import Decision
from proxy.http.outcome import Outcome, ended
from proxy.http.request_origin import RequestOrigin
from proxy.observe.metrics import Metrics
from proxy.pictures.answer import Answer, Shown
from proxy.sessions.cookies import SessionCookies
from proxy.settings import Settings
from proxy.upstream.clock import Clock

KEY = "g:1"
RAW = b"GET /thumb?uri=x HTTP/1.1\r\nHost: x\r\n\r\n"
NOW = 1_000_000.25
TAGS = (share_tag("AEUa"), files_tag("x"))
GRANT = Grant("http://x/1", NOW + 1000, "ab12", own=True, granted_at=NOW)
BODY = b"\x89PNG one"


def picture(version: str = '"1"', body: bytes = BODY) -> Picture:
    return Picture("ab12", "image/png", version, body)


class Shelf:
    """Has one picture, as Redis may."""

    source = Source.REDIS

    def __init__(self) -> None:
        self.seal = ValueSeal()
        self.entry: Picture | None = None
        self.reply: asyncio.Task[None] | None = None
        self.failure: Exception | None = None
        """The event when it is asked."""
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        """The event before it answers."""

    async def get(self, _key: str) -> Picture | None:
        """Give it."""
        if self.meanwhile is not None:
            await self.meanwhile()
        return self.entry

    def build_key(self, key: str) -> str:
        """Name it."""
        return f"thumb-proxy:{key}"

    def shared(self, key: str, picture: Picture) -> SharedPicture:
        """Give it, to be read again."""
        return SharedPicture(self.build_key(key), self.seal, picture)

    @property
    def value(self) -> bytes | None:
        """Give its value."""
        return None if self.entry is None else self.seal.seal(self.build_key(picture_key("ab12")), encode(self.entry))

    def read_soon(self, keys: Sequence[str], receive: Callable[[Sequence[bytes | None]], None]) -> None:
        """Give the value at once, or when something has happened."""
        if self.failure is not None:
            raise self.failure
        self.reply = asyncio.ensure_future(self._reply(keys, receive))

    async def _reply(self, keys: Sequence[str], receive: Callable[[Sequence[bytes | None]], None]) -> None:
        if self.meanwhile is not None:
            await self.meanwhile()
        receive([self.value for _ in keys])

    async def delete(self, _key: str) -> None:
        """Delete nothing: only the picture is asked for here."""


@dataclass
class Stage:
    """A hit path, and what it stands on."""

    hits: FastPath
    tiers: Tiers
    now: list[float]
    shelf: Shelf
    invalidations: Invalidations

    @property
    def picture(self) -> Picture:
        """Give the picture in it."""
        held = self.memory.get_nowait(picture_key("ab12"))
        assert isinstance(held, Picture)
        return held

    @property
    def memory(self) -> MemoryTier:
        """Give the tier."""
        return self.tiers.memory

    def key(self, raw: bytes) -> Key:
        """Read a request."""
        key = self.hits.key(raw, is_trusted=False)
        assert key is not None
        return key

    async def answered(self, answer: Answer, *, raw: bytes = RAW) -> None:
        """Let a request be answered the long way, so often that it is known."""
        await self.offer(answer, self.hits.asked(self.key(raw)))

    async def offer(self, answer: Answer, asked: PendingRequest) -> None:
        """Let one answer leave."""
        request = make_mocked_request("GET", "/thumb?uri=x", {"Host": "x"})
        outcome = Outcome("hit" if answer.shown is not None else "not_modified", answer=answer)
        headers = {"Cache-Control": "public, max-age=9", "Cache-Status": "x", "ETag": '"1"'}
        shown = answer.shown.body if answer.shown is not None else None
        body = shown.body if isinstance(shown, Picture) else None
        response = web.Response(status=200 if body else 304, body=body, headers=headers)
        self.hits.offer(asked, request, ended(response, outcome))

    def ask(self) -> HeadAndBody | None:
        """Ask for an answer at once."""
        known = self.hits.known(self.key(RAW))
        return self.hits.answer(known) if known is not None else None

    async def recall(self, raw: bytes = RAW) -> HeadAndBody | None:
        """Ask for an answer a little later."""
        known = self.hits.known(self.key(raw))
        recalled = await self.hits.recall(known) if known is not None else None
        return self.hits.give(recalled) if recalled is not None else None

    async def read(self) -> HeadAndBody | None:
        """Ask for an answer with the others of this tick."""
        heard: asyncio.Future[tuple[FinishedAnswer, bytes | None, Read]] = asyncio.get_running_loop().create_future()
        known = self.hits.known(self.key(RAW))
        if known is None or not self.hits.redis_hits.ask(known, RAW, lambda _, __, *reply: heard.set_result(reply)):
            return None
        return self.hits.redis_hits.answer(*await heard)


@pytest.fixture
def stage() -> Stage:
    """Build one, its memory holding a grant and its picture."""
    now = [NOW]
    memory = MemoryTier(100_000, lambda: now[0])
    shelf = Shelf()
    tiers = Tiers(memory, shared=cast("SharedTier", shelf))
    settings = Settings.model_validate({"cloudreve": {"url": "http://x"}, "grants": {"renew_s": 0.0}})
    clock = Clock(lambda: now[0], lambda: now[0])
    gateway = RequestOrigin(settings.server)
    keys = Keys(gateway, SessionCookies("session", gateway), settings)
    invalidations = Invalidations(clock.now, changed=memory.touch)
    hits = FastPath(tiers, gateway.trusts, invalidations, clock, Metrics(), settings, keys)
    stage = Stage(hits, tiers, now, shelf, invalidations)
    memory.set_nowait(KEY, GRANT, 1000.0)
    memory.set_nowait(picture_key("ab12"), picture(), 1000.0)
    return stage


def answer(shown: Picture | None = None, grant: Grant = GRANT) -> Answer:
    """Make what was found in memory; 304 when nothing is shown."""
    handling = Handling(Source.MEMORY, Source.MEMORY if shown is not None else None)
    decision = Decision(ANONYMOUS, grant, grant.fresh_until, TAGS)
    found = FoundGrant(decision, Source.MEMORY, collapsed=False, key=KEY)
    return Answer(ANONYMOUS, '"1"', 9.0, handling, Shown(shown.head, shown) if shown else None, found)


async def test_an_answer_ends_within_a_second_in_which_it_was_given(stage: Stage) -> None:
    """The head is written anew each second, and is true no longer than the grant."""
    grant = replace(GRANT, fresh_until=NOW + 0.5)
    stage.memory.set_nowait(KEY, grant, 1000.0)
    await stage.answered(answer(stage.picture, grant))
    stage.now[0] = NOW + 0.4
    assert stage.ask() is not None
    stage.now[0] = NOW + 0.6
    assert stage.ask() is None


async def test_a_browser_keeps_an_answer_no_longer_than_the_grant(stage: Stage) -> None:
    """Parts of a second are not counted."""
    grant = replace(GRANT, fresh_until=NOW + 10.9)
    stage.memory.set_nowait(KEY, grant, 1000.0)
    await stage.answered(answer(stage.picture, grant))
    wire = stage.ask()
    assert wire is not None
    assert b"max-age=10\r\n" in wire[0]


async def test_a_valid_answer_is_given(stage: Stage) -> None:
    await stage.answered(answer(stage.picture))
    wire = stage.ask()
    assert wire is not None
    assert wire[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire[1] == BODY


@pytest.mark.parametrize(
    ("grant", "picture"),
    [(Source.UPSTREAM, Source.MEMORY), (Source.STALE, Source.MEMORY), (Source.MEMORY, Source.UPSTREAM)],
)
async def test_an_answer_that_no_tier_gave_is_not_remembered(stage: Stage, grant: Source, picture: Source) -> None:
    """Nothing watches over a grant that no tier has given, and a bridge over an outage is to be looked at each time."""
    given = replace(answer(stage.picture), handling=Handling(grant, picture))
    await stage.answered(given)
    assert stage.ask() is None


async def forgotten(stage: Stage) -> None:
    await stage.tiers.delete(KEY)


async def replaced(stage: Stage) -> None:
    stage.memory.set_nowait(KEY, replace(GRANT, url="http://x/2"), 1000.0)


async def refused(stage: Stage) -> None:
    stage.memory.set_nowait(KEY, Refusal(RefusalKind.FORBIDDEN, 403), 2.0)


async def repainted(stage: Stage) -> None:
    """Bring other bytes under the same name."""
    stage.memory.set_nowait(picture_key("ab12"), picture('"2"', b"\x89PNG two"), 1000.0)


async def expired(stage: Stage) -> None:
    stage.now[0] += 1000


async def signed_out(stage: Stage) -> None:
    stage.hits.forget()


async def changed(stage: Stage) -> None:
    stage.invalidations.end((stage.invalidations.origin, 1), TAGS[:1])


End: TypeAlias = Callable[[Stage], Awaitable[None]]
ENDS = [forgotten, replaced, refused, repainted, expired, signed_out, changed]


@pytest.mark.parametrize("end", ENDS)
async def test_a_dropped_answer_ends_at_once(stage: Stage, end: End) -> None:
    await stage.answered(answer(stage.picture))
    assert stage.ask() is not None
    await end(stage)
    assert stage.ask() is None


@pytest.mark.parametrize("end", [end for end in ENDS if end is not repainted])
async def test_304_ends_at_once_too(stage: Stage, end: End) -> None:
    await stage.answered(answer())
    wire = stage.ask()
    assert wire is not None
    assert wire[0].startswith(b"HTTP/1.1 304 Not Modified\r\n")
    await end(stage)
    assert stage.ask() is None


async def test_an_answer_whose_picture_is_in_redis_is_given_a_little_later(stage: Stage) -> None:
    await shelved(stage)
    wire = await stage.recall()
    assert wire is not None
    assert wire[0].startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"detail=redis" in wire[0]
    assert wire[1] == BODY


@pytest.mark.parametrize("end", [end for end in ENDS if end is not repainted])
async def test_an_answer_whose_picture_is_in_redis_ends_likewise(stage: Stage, end: End) -> None:
    await shelved(stage)
    await end(stage)
    assert await stage.recall() is None


@pytest.mark.parametrize("end", [end for end in ENDS if end is not repainted])
async def test_an_answer_that_ends_during_its_lookup_is_not_given(stage: Stage, end: End) -> None:
    await shelved(stage)
    stage.shelf.meanwhile = lambda: end(stage)
    assert await stage.recall() is None


async def test_an_entry_read_from_redis_before_is_read_with_others(stage: Stage) -> None:
    await shelved(stage)
    first = await stage.recall()
    refill(stage)
    assert await stage.read() == first != None  # noqa: E711 - both are answers
    assert stage.hits.answer(known_of(stage)) is None, "it does not come to memory"
    tally = known_of(stage).provenances.redis.tally
    assert (sum(tally.others), tally.sent_bytes) == (2, 2 * len(BODY))


async def test_a_sealed_entry_of_redis_is_read_with_others_too(stage: Stage) -> None:
    stage.shelf.seal = ValueSeal(["k" * 32])
    await known_in_redis(stage)
    wire = await stage.read()
    assert wire is not None
    assert wire[1] == BODY
    stage.shelf.build_key = lambda key: f"another:{key}"  # type: ignore[method-assign]
    refill(stage)
    assert await stage.read() is None


@pytest.mark.parametrize("end", [end for end in ENDS if end is not repainted])
async def test_an_entry_that_is_read_with_others_ends_likewise(stage: Stage, end: End) -> None:
    """Before it is asked for, and while Redis takes its time."""
    await known_in_redis(stage)
    await end(stage)
    assert await stage.read() is None


@pytest.mark.parametrize("end", [end for end in ENDS if end is not repainted])
async def test_an_entry_that_ends_while_it_is_read_with_others_is_not_given(stage: Stage, end: End) -> None:
    await known_in_redis(stage)
    stage.shelf.meanwhile = lambda: end(stage)
    assert await stage.read() is None


OTHERS = {
    "nothing": None,
    "another version": picture('"2"'),
    "longer bytes": picture(body=BODY + b"."),
    "shorter bytes": picture(body=BODY[:-1]),
    "another picture": replace(picture(), id="ab13"),
    "another type": replace(picture(), media_type="image/gif"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
async def test_an_entry_that_was_not_shown_before_is_not_given_with_others(stage: Stage, other: Picture | None) -> None:
    """The long way looks at it, and at all that comes after it."""
    await known_in_redis(stage)
    stage.shelf.entry = other
    assert await stage.read() is None
    stage.shelf.entry = picture()
    refill(stage)
    assert await stage.read() is None


async def test_a_value_that_was_cut_or_goes_on_is_not_given(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (encode(picture())[:-1], encode(picture()) + b".", b""):
        await known_in_redis(stage)
        monkeypatch.setattr(Shelf, "value", value)
        assert await stage.read() is None
        monkeypatch.undo()


async def test_an_entry_that_memory_has_again_is_not_asked_of_redis(stage: Stage) -> None:
    """Somebody else's request has brought it back."""
    await known_in_redis(stage)
    stage.memory.set_nowait(picture_key("ab12"), picture(), 1000.0)
    assert await stage.read() is None
    assert await stage.recall() is not None
    assert stage.ask() is not None


async def test_an_entry_that_comes_again_from_redis_comes_to_memory(stage: Stage) -> None:
    """When memory has not been filled anew since it was read the last time."""
    await known_in_redis(stage)
    for _ in range(2):
        assert stage.ask() is None
        assert await stage.read() is not None
    assert stage.picture == picture()
    assert stage.ask() is not None


async def test_an_entry_deleted_while_redis_is_read_does_not_come_to_memory(stage: Stage) -> None:
    """The answer rests on a grant that came with the request."""
    await known_in_redis(stage)
    assert await stage.read() is not None
    known_of(stage).grant_key = ""
    stage.shelf.meanwhile = lambda: stage.tiers.delete(picture_key("ab12"))
    assert await stage.read() is not None
    assert picture_key("ab12") not in stage.memory


async def test_a_request_that_fails_fails_alone(stage: Stage) -> None:
    await known_in_redis(stage)
    heard, errors = asyncio.get_running_loop().create_future(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    known, failure = known_of(stage), ValueError("theirs")

    def fail(*_: object) -> None:
        raise failure

    assert stage.hits.redis_hits.ask(known, RAW, fail)
    assert stage.hits.redis_hits.ask(known, RAW, lambda *reply: heard.set_result(reply[3]))
    assert (await heard, errors) == (stage.shelf.value, [failure])


async def test_nobody_waits_when_redis_cannot_be_asked(stage: Stage) -> None:
    """Each goes the long way; the loop hears of the error."""
    await known_in_redis(stage)
    heard, errors = asyncio.Queue[bytes | None](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    known, failure = known_of(stage), RuntimeError("a library's surprise")
    stage.shelf.failure = failure
    for _ in range(TOGETHER + 1):
        assert stage.hits.redis_hits.ask(known, RAW, lambda *reply: heard.put_nowait(reply[3]))
    async with asyncio.timeout(5):
        assert [await heard.get() for _ in range(TOGETHER + 1)] == [None] * (TOGETHER + 1)
    assert errors == [failure] * 2, "one for each command"


async def test_other_bytes_from_elsewhere_are_not_given(stage: Stage) -> None:
    await shelved(stage)
    stage.shelf.entry = picture('"2"')
    assert await stage.recall() is None


async def test_a_picture_asked_for_again_returns_to_memory(stage: Stage) -> None:
    """At the second time, from when on it is given at once."""
    await shelved(stage)
    for _ in range(2):
        assert stage.ask() is None
        assert await stage.recall() is not None
    assert stage.ask() is not None


async def test_a_picture_comes_back_to_memory_by_any_visitor(stage: Stage) -> None:
    theirs = RAW.replace(b"Host: x", b"Host: x\r\nIf-None-Match: 2")
    await stage.answered(answer(stage.picture), raw=theirs)
    await shelved(stage)
    for raw in (RAW, theirs):
        assert stage.memory.get_nowait(picture_key("ab12")) is None
        assert await stage.recall(raw) is not None
    assert stage.memory.get_nowait(picture_key("ab12")) is not None


async def test_an_older_lookup_does_not_end_a_newer_answer(stage: Stage) -> None:
    """Somebody else has brought the same answer meanwhile."""
    await shelved(stage)
    stage.shelf.meanwhile = lambda: stage.answered(answer(picture()))
    assert await stage.recall() is None
    stage.shelf.meanwhile = None
    assert await stage.recall() is not None


async def test_a_picture_asked_for_seldom_evicts_nothing(stage: Stage) -> None:
    """When memory has been filled anew since the last time, the next time counts as the first."""
    await shelved(stage)
    for number in range(3):
        assert await stage.recall() is not None
        assert stage.memory.get_nowait(picture_key("ab12")) is None
        for other in range(MORE_THAN_FIT):
            stage.memory.set_nowait(f"p:{number} {other}", picture(), 1000.0)
        assert stage.memory.count < MORE_THAN_FIT


MORE_THAN_FIT = 500


async def shelved(stage: Stage) -> None:
    """Let a picture be known, and be driven out of memory."""
    await stage.answered(answer(stage.picture))
    assert stage.ask() is not None
    stage.shelf.entry = picture()
    drive_out(stage, picture_key("ab12"))
    assert stage.ask() is None


async def known_in_redis(stage: Stage) -> None:
    """Let a picture have been read from Redis, and memory be filled anew since."""
    stage.memory.set_nowait(picture_key("ab12"), picture(), 1000.0)
    await shelved(stage)
    assert await stage.recall() is not None
    refill(stage)


def refill(stage: Stage) -> None:
    for number in range(MORE_THAN_FIT):
        stage.memory.set_nowait(f"p:another {number}", picture(), 1000.0)


def known_of(stage: Stage) -> FinishedAnswer:
    known = stage.hits.known(stage.key(RAW))
    assert known is not None
    return known


async def test_a_grant_that_was_driven_out_counts_until_anything_is_forgotten(stage: Stage) -> None:
    """Memory being short is no reason to ask Cloudreve; but a void grant is never known again."""
    await stage.answered(answer())
    drive_out(stage, KEY)
    assert stage.ask() is not None
    await stage.tiers.delete("g:another")
    assert stage.ask() is None


async def test_a_grant_that_is_forgotten_while_it_is_used_is_not_remembered_by_it(stage: Stage) -> None:
    """The answer was under way; the next one goes the long way."""
    asked = stage.hits.asked(stage.key(RAW))
    await stage.tiers.delete(KEY)
    await stage.offer(answer(), asked)
    assert stage.ask() is None


@pytest.mark.parametrize("end", [signed_out, changed])
async def test_an_answer_under_way_when_somebody_signs_out_or_changes_files_is_not_remembered(
    stage: Stage, end: End
) -> None:
    asked = stage.hits.asked(stage.key(RAW))
    await end(stage)
    await stage.offer(answer(), asked)
    assert stage.ask() is None


async def test_changes_of_other_files_end_nothing(stage: Stage) -> None:
    """Else one who uploads would slow everybody down."""
    await stage.answered(answer(stage.picture))
    stage.invalidations.end((stage.invalidations.origin, 1), (share_tag("another"),))
    assert stage.ask() is not None


async def test_the_bytes_are_the_tier_s_alone(stage: Stage) -> None:
    await stage.answered(answer(stage.picture))
    assert stage.ask() is not None
    seen = ref(stage.picture)
    drive_out(stage, picture_key("ab12"))
    gc.collect()
    assert seen() is None
    assert stage.ask() is None


async def test_hot_pictures_are_evicted_last(stage: Stage) -> None:
    """A hit each second is use, even if it asks no tier every time."""
    await stage.answered(answer(stage.picture))
    for number in range(100):
        assert stage.ask() is not None
        stage.memory.set_nowait(f"p:{number}", picture(body=bytes(5000)), 1000.0)
        stage.now[0] += 1


def drive_out(stage: Stage, key: str) -> None:
    """Fill the tier with what is used more."""
    others = [name for name in (KEY, picture_key("ab12")) if name != key]
    for number in range(100):
        for name in others:
            stage.memory.get_nowait(name)
        stage.memory.set_nowait(f"p:{number}", picture(body=bytes(5000)), 1000.0)
    assert stage.memory.get_nowait(key) is None
