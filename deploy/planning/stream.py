"""A stream of visits: few galleries are asked for often, many seldom (Zipf), some by users with grants of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

GALLERY = 40
"""Pictures on a page."""
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
EXPONENT = 0.9
"""Of Zipf's law; requests for web objects have 0.6 to 0.9 (Breslau et al., INFOCOM 1999)."""


class Visit(NamedTuple):
    """A page of 40 pictures is opened."""

    at_s: float
    gallery: int
    identity: int
    """0 for everybody alike; a user has a number of their own."""
    is_return: bool
    """The browser has the pictures, and asks whether they are still good."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What visitors do in a day."""

    pictures: int
    visitors: int
    pages: int = 3
    """Galleries that a visitor opens in a day."""
    returns: float = 0.25
    """The part of pages that are looked at for longer than an hour: each picture is asked for again then."""
    private: float = 0.2
    """The part of visitors that are signed in: no other's grants serve them."""

    @property
    def galleries(self) -> int:
        """How many there are."""
        return max(self.pictures // GALLERY, 1)

    @property
    def visits(self) -> int:
        """Pages opened in a day, returns left out."""
        return self.visitors * self.pages

    def stream(self, days: int, random: Random, sample: int = 1) -> Iterator[Visit]:
        """Give the visits of some days in their order, one in `sample`, with so many neighbours in rank as one gallery.

        A cache of one `sample`th of the size then has the same hit rate (Waldspurger et al., FAST 2015).
        """
        count, returns = self.visits * days // sample, deque[Visit]()
        for number in range(count):
            gallery = _zipf(random.random(), self.galleries) // sample
            at_s = number * days * DAY_S / count
            while returns and returns[0].at_s <= at_s:
                yield returns.popleft()
            identity = 1 + number // self.pages if random.random() < self.private else 0
            yield Visit(at_s, gallery, identity, is_return=False)
            if random.random() < self.returns:
                returns.append(Visit(at_s + HOUR_S, gallery, identity, is_return=True))
        yield from returns


def _zipf(chance: float, count: int) -> int:
    """Draw a rank from 0 on, by the inverse of the continuous distribution."""
    top = (count + 1) ** (1 - EXPONENT)
    return min(int((1 + chance * (top - 1)) ** (1 / (1 - EXPONENT))) - 1, count - 1)
