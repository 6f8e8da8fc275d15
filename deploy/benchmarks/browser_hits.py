"""Pictures in memory, as 5,000 browsers ask for them, each of which says other things about itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from math import ceil

from deploy.benchmarks.browsers import COUNT, header_lines
from deploy.benchmarks.contest import Contest
from deploy.benchmarks.footprint import gauges
from deploy.benchmarks.load import Load
from deploy.benchmarks.measured import Measured
from deploy.benchmarks.process import Spent
from deploy.benchmarks.sides import Pair, Side, Sides
from deploy.benchmarks.table import Row

SIZES_KB = (10, 20)
PICTURES = 40
DELAY_MS = 10
WORKERS = 2
CONNECTIONS = 64
"""So many that each of the workers has as many as one process elsewhere."""
GUARDED = "(nginx: auth_request)"


@dataclass(frozen=True, slots=True)
class BrowserHits:
    """Rows about hits of memory."""

    sides: Sides
    load: Load
    rounds: int

    async def public(self) -> AsyncIterator[Row]:
        """Measure public pictures."""
        for size_kb in SIZES_KB:
            pair = await self.sides.public(size_kb, PICTURES)
            for where, is_proxied in (("direct", False), ("behind a proxy", True)):
                what = f"memory hit, {_pictures(size_kb)}, {where}"
                yield await self._fought(
                    what, pair, 1.0, replace(self.load, browsers=header_lines(is_proxied=is_proxied))
                )

    async def private(self) -> AsyncIterator[Row]:
        """Measure pictures of a user's own."""
        pair, cookie = await self.sides.public(SIZES_KB[0], PICTURES), await self.sides.cookie()
        signed_in = replace(self.load, browsers=header_lines(is_proxied=False, cookie=cookie))
        mine, pictures = pair.private(self.sides.bearer), _pictures(SIZES_KB[0])
        yield await self._fought(f"memory hit, private by bearer, {pictures} {GUARDED}", mine, 1.2, self._direct)
        seen = pair.private({}, "by-cookie").with_cookie(cookie)
        yield await self._fought(f"memory hit, private by cookie, {pictures} {GUARDED}", seen, 1.2, signed_in)

    async def known(self) -> AsyncIterator[Row]:
        """Measure visitors who have the picture already."""
        one = await self.sides.public(SIZES_KB[0])
        yield await self._fought(f"304, {COUNT:,} browsers", await self.sides.known(one), 1.0, self._direct)
        known = await self.sides.known(one.private(self.sides.bearer))
        yield await self._fought(f"304, private, {COUNT:,} browsers {GUARDED}", known, 1.0, self._direct)

    async def sealed(self) -> AsyncIterator[Row]:
        """Measure sealed URLs, and the answers by which Cloudreve's page learns them."""
        pair = await self.sides.public(SIZES_KB[0], PICTURES)
        sealed = await self.sides.sealed(pair)
        yield await self._fought(f"sealed URLs, {_pictures(SIZES_KB[0])} (nginx: public)", sealed, 1.0, self._direct)
        what = f"/api/v4/file/thumb, {PICTURES} pictures, {COUNT:,} browsers (nginx: pictures of {SIZES_KB[0]} kB)"
        yield await self._fought(what, await self.sides.api(pair), 0.6, self._direct)

    async def silent(self) -> AsyncIterator[Row]:
        """Measure once more without a line per request on either side."""
        stage = self.sides.stage
        if not stage.is_narrated:
            return
        gateway, nginx = await stage.start_gateway(is_narrated=False), await stage.start_nginx(is_narrated=False)
        for size_kb in SIZES_KB:
            pair = await replace(self.sides, gateway=gateway, nginx=nginx).public(size_kb, PICTURES)
            yield await self._fought(f"memory hit, {_pictures(size_kb)}, no line per request", pair, 1.0, self._direct)

    async def varnish(self) -> AsyncIterator[Row]:
        """Measure against a cache in memory."""
        varnish = await self.sides.stage.start_varnish()
        if varnish is not None:
            pair = await replace(self.sides, nginx=varnish).public(SIZES_KB[0], PICTURES)
            what = f"memory hit, {_pictures(SIZES_KB[0])} (Varnish in the place of nginx)"
            yield await self._fought(what, pair, None, self._direct)

    async def workers(self) -> AsyncIterator[Row]:
        """Measure what a request costs two workers on the same core, and one process."""
        session, size_kb = self.sides.stage.session, SIZES_KB[0]
        gateway = await self.sides.stage.start_gateway(server__workers=str(WORKERS))
        one, two = [
            (await replace(self.sides, gateway=each).public(size_kb, PICTURES)).here
            for each in (self.sides.gateway, gateway)
        ]
        load = replace(self._direct, connections=CONNECTIONS)
        found: list[tuple[float, float]] = []
        for _ in range(self.rounds + 1):  # in the first one the workers learn the answers
            rates = [_per_s(*await side.measure(session, load)) for side in (one, two)]
            found.append((rates[0], rates[1]))
        here, there = (sorted(rates)[len(rates) // 2] for rates in zip(*found[1:], strict=True))
        what = f"requests per CPU second, {WORKERS} workers over one, {CONNECTIONS} connections"
        yield Row(what, f"{there:,.0f}", f"one: {here:,.0f}", f"{there / here:.2f}", ">= 0.95", there / here >= 0.95)  # noqa: PLR2004

    async def finished_answers(self) -> AsyncIterator[Row]:
        """Count what a gateway remembers when every browser has asked for every picture."""
        gateway = await self.sides.stage.start_gateway()
        pair = await replace(self.sides, gateway=gateway).public(SIZES_KB[0], PICTURES)
        await pair.here.measure(self.sides.stage.session, self._direct)
        count = (await gauges(self.sides.stage, gateway))["finished_answers"]
        what = f"finished answers in memory, {COUNT:,} browsers x {PICTURES} public pictures"
        yield Row(what, f"{count:.0f}", goal=f"<= {PICTURES}", is_reached=count <= PICTURES)

    async def latencies(self) -> AsyncIterator[Row]:
        """Ask each half as fast as it can answer."""
        pair = await self.sides.public(SIZES_KB[1], PICTURES)
        found = [[await self._at_half_load(side) for side in (pair.here, pair.there)] for _ in range(self.rounds)]
        for name, (title, goal) in _NAMES.items():
            yield self._latency(title, goal, name, found)

    def _latency(self, title: str, goal: str, name: str, found: list[list[Measured]]) -> Row:
        here, there = (sorted(getattr(both[side], name) for both in found)[len(found) // 2] for side in range(2))
        rates = ", ".join(f"{measured.rate:,.0f}/s" for measured in found[-1])
        what = f"{title} at half load ({rates}), {_pictures(SIZES_KB[1])}"
        is_reached = here <= there if goal else None
        return Row(what, f"{here:.2f} ms", f"{there:.2f} ms", f"{here / max(there, 0.001):.2f}", goal, is_reached)

    async def _at_half_load(self, side: Side) -> Measured:
        full, _ = await side.measure(self.sides.stage.session, self._direct)
        connections = max(1, ceil(full.rate / 2 * DELAY_MS / 1000))
        half = replace(self._direct, connections=connections, delay_ms=DELAY_MS)
        return (await side.measure(self.sides.stage.session, half))[0]

    @property
    def _direct(self) -> Load:
        return replace(self.load, browsers=header_lines(is_proxied=False))

    async def _fought(self, what: str, pair: Pair, goal: float | None, load: Load) -> Row:
        return await Contest(what, pair.here, pair.there, goal).fought(self.sides.stage.session, load, self.rounds)


_NAMES = {"p50_ms": ("p50", ""), "p99_ms": ("p99", "<= nginx"), "p999_ms": ("p99.9", "")}


def _pictures(size_kb: int) -> str:
    return f"{PICTURES} pictures of {size_kb} kB, {COUNT:,} browsers"


def _per_s(measured: Measured, spent: Spent) -> float:
    """Give requests per second of CPU time."""
    return measured.requests / max(spent.total_s, 0.01)
