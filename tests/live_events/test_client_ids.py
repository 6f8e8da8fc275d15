"""Under which client id the next process goes on."""

from __future__ import annotations

import pytest

from proxy.cache.shared_values import SharedValues
from proxy.live_events.client_ids import HAND_OVER_S, UNCONFIRMED_S, ClientIds

LASTS_S = 3600.0
DAY_S = 86400.0


class Scene:
    """Ids, and time that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ids = ClientIds(SharedValues(None, lambda: self.now), LASTS_S)


async def test_a_user_who_comes_back_days_later_is_listened_to_under_the_same_id() -> None:
    """Cloudreve keeps each id for 14 days, and writes each change down for each."""
    scene = Scene()
    first = await scene.ids.take("alice")
    await scene.ids.leave("alice", first.text, is_confirmed=True)
    scene.now += 12 * DAY_S
    again = await scene.ids.take("alice")
    assert (again.text, again.is_kept, again.away_s) == (first.text, True, HAND_OVER_S)


async def test_an_id_whose_end_nobody_has_confirmed_is_used_again_but_not_trusted() -> None:
    """As over TLS: the last events may be lost."""
    scene = Scene()
    first = await scene.ids.take("alice")
    await scene.ids.leave("alice", first.text, is_confirmed=False)
    again = await scene.ids.take("alice")
    assert (again.text, again.is_kept, again.away_s) == (first.text, False, UNCONFIRMED_S)


@pytest.mark.parametrize("was_left", [True, False])
async def test_an_id_is_taken_up_once(was_left: bool) -> None:
    """And nobody goes on under that of a process that has not left it: Cloudreve may still take that for alive."""
    scene = Scene()
    first = await scene.ids.take("alice")
    assert not first.was_used
    if was_left:
        await scene.ids.leave("alice", first.text, is_confirmed=True)
        await scene.ids.take("alice")
    other = await scene.ids.take("alice")
    assert (other.text != first.text, other.was_used, other.is_kept) == (True, True, False)
