"""Which files were granted lately, as all processes know it."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from proxy.cache.disk_tier import DiskTier
from proxy.cache.shared_values import SharedValues
from proxy.domain.client import BACKGROUND
from proxy.domain.credentials import Credentials
from proxy.domain.file_uri import parse
from proxy.domain.grant import Grant
from proxy.domain.identity import Identity, IdentityKind
from proxy.domain.keys import watch_key
from proxy.domain.source import Source
from proxy.domain.tags import files_tag, shares_tag
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.visitor import Visitor
from proxy.grants.change_log import MAX_CONFIRMED
from proxy.grants.found_grant import Authorised, FoundGrant
from proxy.grants.validity import Decision
from proxy.live_events.recent_grants import RecentGrants, root_of
from proxy.settings import Settings
from tests.cache.conftest import MIB

ALICE = files_tag("aLiC")


def granted(uri: str, source: Source = Source.UPSTREAM, *, own: bool = True) -> Authorised:
    identity = Identity(IdentityKind.USER, "aLiC")
    visitor = Visitor(identity, Credentials("a"), math.inf)
    request = ThumbRequest(parse(uri, 4096), visitor.credentials, client=BACKGROUND)
    return Authorised(
        visitor, request, FoundGrant(Decision(identity, Grant("", math.inf, "p", own)), source, collapsed=False)
    )


def recent_grants(notes: SharedValues) -> RecentGrants:
    """Make what one process knows; all shares are alice's."""
    return RecentGrants(notes, 3600.0, lambda share: "aLiC" if share else None, hears_shares=True)


@pytest.fixture
def notes() -> SharedValues:
    return SharedValues(None, lambda: 0.0)


async def known(recent: RecentGrants) -> list[str]:
    return [uri.text.rpartition("/")[2] for uri in await recent.files(ALICE)]


async def test_what_one_process_was_granted_another_knows(notes: SharedValues) -> None:
    """Once it is written, and whatever both were granted meanwhile."""
    one, two = (
        recent_grants(notes),
        recent_grants(notes),
    )
    one.note(granted("cloudreve://my/%E4%B8%80.png"))
    two.note(granted("cloudreve://aLiC@my/two.png"))
    assert await known(one) == ["%E4%B8%80.png"]
    await one.write()
    await two.write()
    assert await known(one) == await known(two) == ["%E4%B8%80.png", "two.png"]


async def test_what_another_has_written_over_is_written_again(notes: SharedValues) -> None:
    one = recent_grants(notes)
    one.note(granted("cloudreve://my/one.png"))
    await one.write()
    await notes.set(watch_key(f"granted {ALICE.hex()}"), "cloudreve://my/two.png", 3600.0)
    await one.write()
    await one.write()
    assert await known(recent_grants(notes)) == ["two.png", "one.png"]


async def test_only_so_many_are_known_the_last_ones(notes: SharedValues) -> None:
    """Of a user or share; what came from a tier, and what lies on other storage, is none of them."""
    recent = recent_grants(notes)
    for number in range(MAX_CONFIRMED + 2):
        recent.note(granted(f"cloudreve://my/{number}.png"))
        if number == MAX_CONFIRMED:
            await recent.write()
    recent.note(granted("cloudreve://my/kept.png", Source.MEMORY))
    recent.note(granted("cloudreve://my/foreign.png", own=False))
    await recent.write()
    names = await known(recent_grants(notes))
    assert (len(names), names[-1]) == (MAX_CONFIRMED, f"{MAX_CONFIRMED + 1}.png")


async def test_the_files_of_many_users_take_no_place_from_what_has_to_stay(tmp_path: Path) -> None:
    """More than the disk holds: the oldest go, no process remembers them beside, and the disk is still used."""
    disk_settings = {"path": str(tmp_path / "cache"), "max_bytes": 16 * MIB}
    settings = Settings.model_validate({"cloudreve": {"url": "http://x"}, "disk": disk_settings})
    disk = DiskTier.from_settings(settings, time.time)
    notes = SharedValues(None, time.monotonic, disk)
    await notes.set("session", "ended", 3600.0)
    recent = recent_grants(notes)
    for user in range(40):
        for number in range(MAX_CONFIRMED):
            recent.note(granted(f"cloudreve://u{user}@my/{'x' * 1900}{number}.png"))
        await recent.write()
    assert (disk.is_up, await disk.get_text("session")) == (True, "ended")
    assert len(await recent_grants(notes).files(files_tag("u39"))) == MAX_CONFIRMED
    assert notes.get_nowait(watch_key(f"granted {files_tag('u39').hex()}")) is None
    await disk.aclose()


async def test_a_password_is_not_written(notes: SharedValues) -> None:
    recent, uri = (
        recent_grants(notes),
        "cloudreve://kY7x:secret@share/one.png",
    )
    recent.note(granted(uri))
    root = root_of(parse(uri, 4096), "")
    assert root is not None
    for each in (root, shares_tag("aLiC")):
        assert [found.text for found in await recent.files(each)] == ["cloudreve://kY7x@share/one.png"]
