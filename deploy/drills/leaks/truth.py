"""The rule by which Cloudreve grants, kept as a history: which version each person may see at which time.

A change takes time; while it lasts, both the state before and the state after are possible. Every fact thus has an
outer interval, in which it may hold, and an inner one, in which it does.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

Place: TypeAlias = tuple[str, str]
"""An owner and a path."""
Root: TypeAlias = Literal["my", "id", "share"]
PUBLIC = ""
"""The name of whoever is not signed in."""


class Window(NamedTuple):
    """From when until when."""

    begin: float
    end: float


@dataclass(slots=True)
class Fact:
    """Something that holds for some time."""

    version: int = 0
    past: frozenset[int] = frozenset()
    """The versions that the same file has had before."""
    may_from: float = 0.0
    is_from: float = math.inf
    is_until: float = math.inf
    may_until: float = math.inf

    def may_hold(self, window: Window) -> bool:
        """Tell whether it may hold at some moment of the window."""
        return self.may_from <= window.end and window.begin <= self.may_until

    def holds(self, window: Window) -> bool:
        """Tell whether it holds all the time."""
        return self.is_from <= window.begin and window.end <= self.is_until


@dataclass(slots=True)
class Change:
    """A change under way: what it ends and what it begins."""

    ends: Sequence[Fact]
    begins: Sequence[Fact]

    def done(self, now: float) -> None:
        """Note that it has been made."""
        for fact in self.ends:
            fact.may_until = min(fact.may_until, now)
        for fact in self.begins:
            fact.is_from = now

    def refused(self, now: float) -> None:
        """Note that it has not been made."""
        for fact in self.ends:
            fact.is_from, fact.is_until = now, math.inf
        for fact in self.begins:
            fact.is_until = fact.may_until = now


@dataclass(frozen=True, slots=True)
class Target:
    """A File URI, as far as it differs in meaning."""

    root: Root
    name: str
    """The user whose id it names, or the share; empty for `my`."""
    path: str
    password: str = ""


@dataclass(slots=True)
class Share:
    """A shared folder."""

    id: str
    owner: str
    folder: str
    password: str
    fact: Fact = field(default_factory=Fact)


class Truth:
    """What Cloudreve holds, and held."""

    def __init__(self, publisher: str, published: str) -> None:
        self._publisher = publisher
        self._published = published
        self._files: dict[Place, list[Fact]] = defaultdict(list)
        self.shares: dict[str, Share] = {}

    def put(self, owner: str, path: str, version: int, now: float) -> Change:
        """Begin to put a version at a path, in place of what is there."""
        old = [fact for fact in self._files[owner, path] if fact.is_until == math.inf]
        past = frozenset(number for fact in old for number in (fact.version, *fact.past))
        return self._change([(owner, path)], [((owner, path), Fact(version, past))], now)

    def remove(self, owner: str, path: str, now: float) -> Change:
        """Begin to delete a file."""
        return self._change([(owner, path)], [], now)

    def move(self, owner: str, old: str, new: str, now: float) -> Change:
        """Begin to move a file or a folder."""
        paths = [path for path in self.paths(owner) if path == old or path.startswith(f"{old}/")]
        begun = [
            ((owner, new + path.removeprefix(old)), Fact(fact.version, fact.past))
            for path in paths
            for fact in self._files[owner, path]
            if fact.is_until == math.inf
        ]
        return self._change([(owner, path) for path in paths], begun, now)

    def open(self, share: Share, begun: float, now: float) -> None:
        """Note a share that has been made."""
        share.fact.may_from, share.fact.is_from = begun, now
        self.shares[share.id] = share

    def close(self, share: Share, now: float) -> Change:
        """Begin to delete a share."""
        share.fact.is_until = now
        return Change([share.fact], [])

    def paths(self, owner: str) -> list[str]:
        """List the files that somebody has."""
        return [path for user, path in self._files if user == owner and self.latest(user, path)]

    def latest(self, owner: str, path: str) -> int:
        """Give the version at a path; 0 for none."""
        facts = self._files.get((owner, path))
        return facts[-1].version if facts and facts[-1].is_until == math.inf else 0

    def shown(self, who: str, target: Target, window: Window) -> set[int]:
        """List the versions that somebody may have been granted at some moment of the window."""
        return {
            fact.version
            for share, facts in self._facts(who, target)
            if share is None or share.may_hold(window)
            for fact in facts
            if fact.may_hold(window)
        }

    def surely_shown(self, who: str, target: Target, window: Window) -> bool:
        """Tell whether somebody is granted the same version all the time."""
        return any(
            fact.holds(window)
            for share, facts in self._facts(who, target)
            if share is None or share.holds(window)
            for fact in facts
        )

    def was_there(self, who: str, target: Target, version: int) -> bool:
        """Tell whether a version is an older one of the file that somebody's File URI means, or has meant."""
        return any(version in (fact.version, *fact.past) for _, facts in self._facts(who, target) for fact in facts)

    def learn(self, who: str, target: Target, version: int, since: float) -> None:
        """Note what Cloudreve was seen to show beside what should be there, until the file's next change.

        A thumbnail that was being made while its file was replaced stays for the new version.
        """
        for _, facts in self._facts(who, target):
            facts.insert(max(len(facts) - 1, 0), Fact(version, may_from=since))

    def whereabouts(self, version: int, now: float) -> str:
        """Tell where a version is, and was, for people."""
        found = [
            f"{owner}:{path}" + ("" if fact.is_until == math.inf else f" until {now - fact.may_until:.2f} s before")
            for (owner, path), facts in self._files.items()
            for fact in facts
            if fact.version == version
        ]
        return ", ".join(found) or "nobody's"

    def _change(self, ended: list[Place], begun: list[tuple[Place, Fact]], now: float) -> Change:
        ends = [fact for place in ended for fact in self._files[place] if fact.is_until == math.inf]
        for fact in ends:
            fact.is_until = now
        for place, fact in begun:
            fact.may_from = now
            self._files[place].append(fact)
        return Change(ends, [fact for _, fact in begun])

    def _facts(self, who: str, target: Target) -> Iterator[tuple[Fact | None, list[Fact]]]:
        """Give what decides: the share's fact, if it takes one, and those of the file."""
        if target.root == "share":
            share = self.shares.get(target.name)
            if share is not None and share.password in ("", target.password):
                yield share.fact, self._files.get((share.owner, share.folder + target.path), [])
            return
        owner = target.name or who
        if who == owner != PUBLIC:
            yield None, self._files.get((owner, target.path), [])
        elif who == PUBLIC and owner in (PUBLIC, self._publisher) and self._is_published(target):
            yield None, self._files.get((self._publisher, target.path), [])

    def _is_published(self, target: Target) -> bool:
        return target.root == "my" and target.path.startswith(f"{self._published}/")
