"""Which grants an event ends: those of what it names, and of no other owner's files."""

from __future__ import annotations

import pytest

from proxy.domain.file_uri import parse
from proxy.domain.tags import place_tags
from proxy.live_events.watched_folder import WatchedFolder
from proxy.upstream.event_streams import FileEvent

ALICE, BOB = "aLiC", "BoBb"
OWN = WatchedFolder(parse("cloudreve://my/album", 4096), ALICE)
SHARED = WatchedFolder(parse("cloudreve://kY7x:secret@share", 4096), BOB)
EVENTS = {
    "modify": FileEvent("modify", "/in/a b%.png"),
    "create": FileEvent("create", "/in/a b%.png"),
    "delete": FileEvent("delete", "/in"),
    "rename": FileEvent("rename", "/new", "/in"),
    "of a kind that is not known": FileEvent("compress", "/other.png"),
    "that cannot be understood": FileEvent(),
}


def ends(folder: WatchedFolder, event: FileEvent, uri: str, subject: str, share_owner: str = "?") -> bool:
    """Tell whether an event ends a grant of `subject` for a file."""
    tags = folder.event_tags([event], ALICE if folder is SHARED else "?")
    return not {*tags}.isdisjoint(place_tags(parse(uri, 4096), subject, share_owner))


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_ends_the_grants_of_what_it_names(event: FileEvent) -> None:
    """Under its path as the folder's own user means it, and under its owner's id."""
    path = "album/in/a%20b%25.png"
    assert ends(OWN, event, f"cloudreve://my/{path}", ALICE)
    assert ends(OWN, event, f"cloudreve://{ALICE}@my/{path}", "")
    assert not ends(OWN, event, f"cloudreve://my/{path}", BOB)
    assert not ends(OWN, event, "cloudreve://my/elsewhere/in/one.png", ALICE)


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_in_a_share_ends_the_grants_of_all_its_visitors(event: FileEvent) -> None:
    """With a password or without, and of nobody's files of another owner."""
    path = "in/a%20b%25.png"
    assert ends(SHARED, event, f"cloudreve://kY7x@share/{path}", "", ALICE)
    assert ends(SHARED, event, f"cloudreve://kY7x:secret@share/{path}", BOB, ALICE)
    assert not ends(SHARED, event, f"cloudreve://my/{path}", BOB)
    assert not ends(SHARED, event, f"cloudreve://Zz9y@share/{path}", "", BOB)


def test_an_event_leaves_other_files_of_the_folder_alone() -> None:
    for name in ("modify", "create", "delete"):
        assert not ends(OWN, EVENTS[name], "cloudreve://my/album/other.png", ALICE)
        assert not ends(SHARED, EVENTS[name], "cloudreve://kY7x@share/other.png", "", ALICE)


def test_a_change_of_an_owners_file_reaches_the_visitors_of_the_owners_shares() -> None:
    assert ends(OWN, EVENTS["modify"], "cloudreve://kY7x@share/a%20b%25.png", "", ALICE)
    assert not ends(OWN, EVENTS["modify"], "cloudreve://kY7x@share/a%20b%25.png", "", BOB)


def test_events_that_may_have_been_missed_end_the_grants_of_the_whole_folder() -> None:
    assert not {*OWN.tags()}.isdisjoint(place_tags(parse("cloudreve://my/album/x/y.png", 4096), ALICE))
    assert {*OWN.tags()}.isdisjoint(place_tags(parse("cloudreve://my/x/y.png", 4096), ALICE))
    assert not {*SHARED.tags()}.isdisjoint(place_tags(parse("cloudreve://kY7x@share/y.png", 4096), "", ALICE))


def test_one_folder_has_one_name_under_any_password() -> None:
    assert SHARED.name == WatchedFolder(parse("cloudreve://kY7x@share", 4096), BOB).name
    assert "secret" not in SHARED.name + repr(SHARED)
