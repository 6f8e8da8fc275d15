"""Recent header lines: those in use stay, within a bound."""

from __future__ import annotations

from proxy.fastpath.recent_lines import RecentLines

MAX_BYTES = 100_000
LINE_BYTES = 750


def lines(number: int) -> bytes:
    return b"%0*d" % (LINE_BYTES, number)


def test_used_lines_stay_however_many_come_once() -> None:
    recent: RecentLines[int] = RecentLines(MAX_BYTES)
    recent.set(lines(0), 0)
    for number in range(1, 1000):
        recent.set(lines(number), number)
        assert recent.get(lines(0)) == 0
    assert recent.get(lines(1)) is None


def test_half_of_the_bound_is_remembered_and_never_more_than_the_bound() -> None:
    recent: RecentLines[int] = RecentLines(MAX_BYTES)
    for number in range(1000):
        recent.set(lines(number), number)
        held = len(recent.young) + len(recent._old)  # noqa: SLF001 - looking would change it
        assert min(number + 1, MAX_BYTES // 2 // 1000) <= held <= MAX_BYTES // 1000
    assert recent.get(lines(999)) == 999
    assert recent.get(lines(999 - held)) is None
