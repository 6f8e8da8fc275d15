"""Changes, viewers and replicas in any order: no old picture is shown past the end of its change.

A site of a few files, each with a version; replicas that keep grants in memory and in a tier that they share, and a log
of changes that each can be cut off from. Steps are drawn at random: Cloudreve is asked and has not answered yet, a
change begins, is made and ends, a replica is cut off, comes back, or is started anew. Whatever the order: a replica
that has the end of a change shows nothing that Cloudreve was asked for before, and one that can reach the log has it
after one step.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import pytest

from proxy.domain.file_uri import FileUri
from proxy.domain.grant import Grant
from proxy.domain.identity import ANONYMOUS
from proxy.domain.tags import fixed_tags, place_tags
from proxy.grants.change_feed import OPEN_S, ChangeFeed
from proxy.grants.change_log import LogFailed, Page
from proxy.grants.invalidation import ChangeId, Invalidations
from proxy.grants.validity import Decision, is_valid

FILES = [FileUri(f"cloudreve://alice@my/{folder}/{name}.png", "my") for folder in "ab" for name in "xyz"]
REPLICAS = 3


class SharedLog:
    """An ordered log in memory."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes]] = [(1, b"")]


class LogConnection:
    """A replica's way to it."""

    name = "log"
    poll_s = 1.0

    def __init__(self, log: SharedLog) -> None:
        self._log = log
        self.is_cut = False
        self.loses_replies = False

    def is_available(self) -> bool:
        """Tell whether it can be asked."""
        return not self.is_cut

    def woken(self) -> AbstractContextManager[asyncio.Future[bytes]]:
        """Give a future that is never done."""
        return nullcontext(asyncio.get_running_loop().create_future())

    async def exchange(self, after: int, entries: Sequence[bytes]) -> Page:
        """Append and read; a reply may be lost, and what was written is there all the same."""
        if self.is_cut:
            raise LogFailed
        for entry in entries:
            self._log.entries.append((self._log.entries[-1][0] + 1, entry))
        if self.loses_replies:
            raise LogFailed
        return Page([each for each in self._log.entries if each[0] >= after], is_full=False)


@dataclass
class Asked:
    """A question to Cloudreve, answered or not: what it saw, and the stamp from before."""

    uri: FileUri
    grant: Grant


@dataclass
class Replica:
    """One process."""

    line: LogConnection
    feed: ChangeFeed
    memory: dict[FileUri, Grant] = field(default_factory=dict)
    under_way: list[Asked] = field(default_factory=list)
    begun: list[tuple[ChangeId, FileUri, bool]] = field(default_factory=list)


class Play:
    """The site, its replicas, and what has been shown."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - to be played again
        self.log = SharedLog()
        self.time = 0.0
        self.version = dict.fromkeys(FILES, 0)
        self.tier: dict[FileUri, Grant] = {}
        self.replicas = [self.started() for _ in range(REPLICAS)]
        self.shown = self.hits = 0

    def started(self) -> Replica:
        """Start a replica."""
        line = LogConnection(self.log)
        return Replica(line, ChangeFeed(line, Invalidations(lambda: self.time, log="log"), lambda: self.time))

    def counts(self, replica: Replica, uri: FileUri, grant: Grant | None) -> bool:
        """Tell whether a replica would show what is kept."""
        if grant is None:
            return False
        tags = (*fixed_tags(ANONYMOUS, grant.picture), *place_tags(uri, "alice"))
        return is_valid(Decision(ANONYMOUS, grant, 1e18, tags), self.time, replica.feed.invalidations)

    def ask(self, replica: Replica) -> None:
        """Have a viewer come: something kept is shown, or Cloudreve is asked."""
        uri = self.chance.choice(FILES)
        for grant in (replica.memory.get(uri), self.tier.get(uri)):
            if grant is not None and self.counts(replica, uri, grant):
                replica.memory[uri] = grant
                self.shown += 1
                self.hits += 1
                return
        stamp = replica.feed.invalidations.stamp
        seen = Grant("u", 1e18, f"{FILES.index(uri)}-{self.version[uri]}", own=True, stamp=stamp)
        replica.under_way.append(Asked(uri, seen))

    def hear(self, replica: Replica) -> None:
        """Let an answer of Cloudreve's arrive, in any order."""
        if replica.under_way:
            asked = replica.under_way.pop(self.chance.randrange(len(replica.under_way)))
            replica.memory[asked.uri] = asked.grant
            if not replica.line.is_cut:
                self.tier[asked.uri] = asked.grant

    async def change(self, replica: Replica) -> None:
        """Begin a change, make one that has begun, or end one that was made."""
        if not replica.begun or self.chance.random() < 0.3:
            uri = self.chance.choice(FILES)
            replica.begun.append((replica.feed.begin(place_tags(uri, "alice")[2:3]), uri, False))
            await replica.feed.spread()
            return
        at = self.chance.randrange(len(replica.begun))
        change, uri, is_made = replica.begun.pop(at)
        if not is_made:
            self.version[uri] += 1
            replica.begun.insert(at, (change, uri, True))
        else:
            replica.feed.end(change, place_tags(uri, "alice")[2:3])
            await replica.feed.spread()
            self.check(replica, uri)

    def check(self, replica: Replica, uri: FileUri) -> None:
        """Fail where a replica would show an old picture of a file that nobody is changing elsewhere."""
        if any(uri == other for each in self.replicas for _, other, _ in each.begun):
            return
        for grant in (replica.memory.get(uri), self.tier.get(uri)):
            if grant is not None and self.counts(replica, uri, grant):
                assert grant.picture == f"{FILES.index(uri)}-{self.version[uri]}"

    async def catch_up(self, replica: Replica) -> None:
        """Let a replica read the log; then it shows nothing old of what all have told of."""
        await replica.feed.catch_up()
        if not replica.feed.is_behind and all(each.feed.waiting == 0 for each in self.replicas):
            for uri in FILES:
                self.check(replica, uri)

    async def step(self) -> None:
        """Do one thing."""
        replica = self.chance.choice(self.replicas)
        self.time += self.chance.random()
        match self.chance.choices(range(7), (40, 25, 12, 15, 3, 2, 1))[0]:
            case 0:
                self.ask(replica)
            case 1:
                self.hear(replica)
            case 2:
                await self.change(replica)
            case 3:
                await self.catch_up(replica)
            case 4:
                replica.line.is_cut = not replica.line.is_cut
            case 5:
                replica.line.loses_replies = not replica.line.loses_replies
            case 6:
                self.end(replica)

    def end(self, replica: Replica) -> None:
        """Kill a replica, with what it had begun; what it had not told is lost with it, unless it had begun to tell."""
        if not replica.begun and replica.feed.waiting == 0:
            self.replicas[self.replicas.index(replica)] = self.started()

    async def settle(self) -> None:
        """Mend everything, end everything, and let everybody catch up: then nothing old is shown at all."""
        for replica in self.replicas:
            replica.line.is_cut = replica.line.loses_replies = False
            for change, uri, is_made in replica.begun:
                self.version[uri] += 0 if is_made else 1
                replica.feed.end(change, place_tags(uri, "alice")[2:3])
            replica.begun.clear()
            while replica.under_way:
                self.hear(replica)
        self.time += OPEN_S
        for replica in [*self.replicas, *self.replicas]:
            await replica.feed.catch_up()
        for replica in self.replicas:
            assert (replica.feed.waiting, replica.feed.is_behind) == (0, False)
            for uri in FILES:
                self.check(replica, uri)


@pytest.mark.parametrize("seed", range(5))
async def test_no_old_picture_is_shown_past_the_end_of_its_change(seed: int) -> None:
    play = Play(seed)
    for _ in range(20):
        for _ in range(100):
            await play.step()
        await play.settle()
    assert play.hits > 100
