"""Requests that change files, what they change, and requests that do not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote

import pytest

from proxy.domain.file_uri import parse
from proxy.domain.identity import ANONYMOUS
from proxy.domain.tags import EVERYTHING, Tag, fixed_tags, place_tags
from proxy.grants.changing_requests import (
    Changing,
    Kind,
    changing,
    named_uris,
    tags_of_dav,
    tags_of_files,
    tags_of_shares,
    tags_of_user,
)
from proxy.grants.purge import Purge, purge_tags


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("PUT", "/api/v4/file/content", Changing(Kind.CONTENT)),
        ("PUT", "/api/v4/file/upload", Changing(Kind.UPLOAD)),
        ("POST", "/api/v4/file/upload/6f9c/0", Changing(Kind.SESSION, "6f9c")),
        ("DELETE", "/api/v4/file/upload", Changing(Kind.CONTENT)),
        ("POST", "/api/v4/file/create", Changing(Kind.CONTENT)),
        ("POST", "/api/v4/file/rename", Changing(Kind.FILES)),
        ("POST", "/api/v4/file/move", Changing(Kind.FILES)),
        ("POST", "/api/v4/file/restore", Changing(Kind.FILES)),
        ("POST", "/api/v4/file/version/current", Changing(Kind.CONTENT)),
        ("DELETE", "/api/v4/file/version", Changing(Kind.CONTENT)),
        ("DELETE", "/api/v4/file", Changing(Kind.FILES)),
        ("POST", "/api/v4/file/permission", Changing(Kind.FILES)),
        ("PATCH", "/api/v4/file/metadata", Changing(Kind.CONTENT)),
        ("GET", "/api/v4/callback/s3/6f9c/key", Changing(Kind.SESSION, "6f9c")),
        ("POST", "/api/v4/callback/onedrive/6f9c/key", Changing(Kind.SESSION, "6f9c")),
        ("POST", "/api/v4/share/AEUa", Changing(Kind.SHARE, "AEUa")),
        ("DELETE", "/api/v4/share/AEUa", Changing(Kind.SHARE, "AEUa")),
        ("DELETE", "/api/v4/share", Changing(Kind.SHARE)),
        ("PUT", "/dav/album/one.png", Changing(Kind.DAV)),
        ("MOVE", "/dav/album", Changing(Kind.DAV)),
        ("PROPPATCH", "/dav/one.png", Changing(Kind.DAV)),
        ("POST", "/api/v4/admin/file/batch/delete", Changing(Kind.ADMIN)),
        ("PUT", "/api/v4/admin/user/7", Changing(Kind.ADMIN)),
        ("PUT", "/api/v4/admin/group/3", Changing(Kind.ADMIN)),
        ("PATCH", "/api/v4/admin/settings", Changing(Kind.ADMIN)),
    ],
)
def test_requests_that_change_files_have_tags(method: str, path: str, found: Changing) -> None:
    """As Cloudreve's page, its apps and WebDAV clients change them."""
    assert changing(method, path) == found


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v4/file"),
        ("HEAD", "/api/v4/file/content/ab/0/one.png"),
        ("OPTIONS", "/api/v4/file/content"),
        ("POST", "/api/v4/file/url"),
        ("PUT", "/api/v4/file/pin"),
        ("DELETE", "/api/v4/file/lock"),
        ("PUT", "/api/v4/file/viewerSession"),
        ("POST", "/api/v4/files"),
        ("POST", "/api/v4/session/token"),
        ("PUT", "/api/v4/share"),
        ("POST", "/api/v4/admin/file"),
        ("PROPFIND", "/dav/album"),
        ("GET", "/dav/album/one.png"),
        ("MKCOL", "/dav/new"),
        ("PUT", "/davos"),
        ("POST", "/f/ab/one.png"),
        ("POST", "/"),
        ("OPTIONS", "*"),
    ],
)
def test_requests_that_change_nothing_have_none(method: str, path: str) -> None:
    """Requests that pages send whenever somebody looks at a file are among them."""
    assert changing(method, path) is None


OWNERS = {"AEUa": "alice"}


def ends(tags: Iterable[Tag], uri: str, subject: str = "alice", owner: str = "alice") -> bool:
    """Tell whether a change with these tags ends a grant of this file."""
    return bool({*tags} & {*fixed_tags(ANONYMOUS), *place_tags(parse(uri, 4096), subject, owner)})


def of_body(kind: Kind, body: object, subject: str = "alice") -> tuple[Tag, ...]:
    """Give the tags of a change that a body describes."""
    uris, _ = named_uris("", json.dumps(body).encode())
    return tags_of_files(uris, kind, subject, OWNERS.get)


def test_a_file_s_new_bytes_end_that_file_for_all() -> None:
    """For its owner, for another account that sees it by the owner's id, and in shares; whatever they wrote for it."""
    tags = tags_of_files(
        named_uris("uri=cloudreve%3A%2F%2Fmy%2Falbum%2F.%2Fone.png", b"")[0], Kind.CONTENT, "alice", OWNERS.get
    )
    assert ends(tags, "cloudreve://my/album/one.png")
    assert ends(tags, "cloudreve://alice@my/album/one.png", "bob")
    assert ends(tags, "cloudreve://AEUa@share/one.png", "")
    assert ends(tags, "cloudreve://AEUa@share/one.png", "", "?")
    assert not ends(tags, "cloudreve://my/album/two.png")
    assert not ends(tags, "cloudreve://my/album/one.png", "bob")
    assert not ends(tags, "cloudreve://AEUa@share/two.png", "")
    assert not ends(tags, "cloudreve://BEUa@share/one.png", "", "bob")


def test_a_change_of_a_possible_folder_ends_grants_below_it_and_of_the_owner_s_shares() -> None:
    tags = of_body(Kind.FILES, {"uris": ["cloudreve://my/album"]})
    assert ends(tags, "cloudreve://my/album/deep/one.png")
    assert ends(tags, "cloudreve://AEUa@share/any.png", "")
    assert not ends(tags, "cloudreve://my/albums/one.png")
    assert not ends(tags, "cloudreve://BEUa@share/any.png", "", "bob")


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"uris": ["cloudreve://my/a/one.png"], "dst": "cloudreve://my/b"}, "cloudreve://my/b/one.png"),
        ({"uris": ["cloudreve://my/a/one.png"], "dst": "cloudreve://my/b", "copy": True}, "cloudreve://my/b/one.png"),
        ({"uri": "cloudreve://my/a/one.png", "new_name": "50% #1.png"}, "cloudreve://my/a/50%25%20%231.png"),
    ],
)
def test_the_place_to_which_something_is_moved_ends_too(body: dict[str, object], target: str) -> None:
    tags = of_body(Kind.FILES, body)
    assert ends(tags, "cloudreve://my/a/one.png")
    assert ends(tags, target)


def test_a_restored_file_may_lie_anywhere() -> None:
    assert ends(of_body(Kind.FILES, {"uris": ["cloudreve://trash/one.png"]}), "cloudreve://my/album/one.png")


def test_a_change_by_way_of_a_share_ends_all_of_its_owner_s() -> None:
    """Where in the owner's files it lies is not known; where the owner is not, everything ends."""
    tags = of_body(Kind.CONTENT, {"uri": "cloudreve://AEUa:pw@share/one.png"}, "bob")
    assert ends(tags, "cloudreve://my/album/one.png")
    assert not ends(tags, "cloudreve://my/album/one.png", "bob")
    assert of_body(Kind.CONTENT, {"uri": "cloudreve://BEUa@share/one.png"}, "bob") == (EVERYTHING,)


@pytest.mark.parametrize("body", [b"", b"{", b'{"uris": 1}', b'{"uris": ["http://x"]}', b"\xff"])
def test_a_request_that_names_no_file_may_change_any_of_the_user_s(body: bytes) -> None:
    tags = tags_of_files(named_uris("", body)[0], Kind.CONTENT, "alice", OWNERS.get)
    assert tags == tags_of_user("alice")
    assert ends(tags, "cloudreve://my/album/one.png")
    assert ends(tags, "cloudreve://AEUa@share/one.png", "")
    assert not ends(tags, "cloudreve://my/album/one.png", "bob")


def test_a_share_ends_for_its_visitors_alone() -> None:
    for tags in (tags_of_shares("AEUa", None), tags_of_shares("", b'{"ids": ["AEUa"]}')):
        assert ends(tags, "cloudreve://AEUa:pw@share/a/one.png", "bob")
        assert not ends(tags, "cloudreve://BEUa@share/a/one.png", "bob")
    assert ends(tags_of_shares("", None), "cloudreve://BEUa@share/a/one.png", "bob")


@pytest.mark.parametrize("uri", ["cloudreve://shared_with_me/one.png", "cloudreve://kQtV@shared_with_me"])
def test_files_shared_with_a_user_end_with_any_change_of_any_owner(uri: str) -> None:
    """Whose it is, its URI does not say; nor, by id, what it is called."""
    changes = {
        "new bytes": of_body(Kind.CONTENT, {"uri": "cloudreve://my/album/one.png"}),
        "a folder": of_body(Kind.FILES, {"uris": ["cloudreve://my/album"]}),
        "any file": tags_of_user("alice"),
        "a share": tags_of_shares("AEUa", None),
        "some shares": tags_of_shares("", b'{"ids": ["AEUa"]}'),
        "a request that names no share": tags_of_shares("", None),
        "a file by WebDAV": tags_of_dav("PUT", "/dav/one.png", None),
        "a folder by WebDAV": tags_of_dav("DELETE", "/dav/album", None),
        "a purge of a user": purge_tags(Purge(user="alice")),
        "a purge of a share": purge_tags(Purge(share="AEUa")),
    }
    assert [change for change, tags in changes.items() if not ends(tags, uri, "bob", "?")] == []


@pytest.mark.parametrize("method", ["PUT", "PROPPATCH"])
def test_by_webdav_a_file_ends_by_its_name(method: str) -> None:
    """Whose it is, and where the account's root lies, is not known."""
    tags = tags_of_dav(method, "/dav/photos/%e5%9c%96%20one.png", None)
    for uri in ("cloudreve://my/a/photos/圖 one.png", "cloudreve://AEUa@share/圖 one.png"):
        assert ends(tags, uri)
    assert not ends(tags, "cloudreve://my/photos/two.png")


NAMES = ("100%.png", "Foo%20Bar.png", "#1.png", "a?b.png", "a%2Fb.png")
"""Such as browsers and cameras give to files."""


@pytest.mark.parametrize("name", NAMES)
def test_a_name_may_hold_what_means_something_in_a_url(name: str) -> None:
    """Its percent-encoding is undone once, in a query twice: there it is that of a File URI."""
    uri = f"cloudreve://my/a/{quote(name, safe='')}"
    for tags in (
        tags_of_dav("PUT", f"/dav/a/{quote(name, safe='')}", None),
        tags_of_dav("MOVE", "/dav/x", f"https://cloud.example.com/dav/a/{quote(name, safe='')}"),
        tags_of_files(named_uris(f"uri={quote(uri, safe='')}", None)[0], Kind.CONTENT, "alice", OWNERS.get),
    ):
        assert EVERYTHING not in tags
        assert ends(tags, uri)
        assert ends(tags, f"cloudreve://AEUa@share/{quote(name, safe='')}", "")
        assert not ends(tags, "cloudreve://my/b/two.png")


def test_by_webdav_a_file_whose_name_cannot_be_read_may_be_any() -> None:
    assert tags_of_dav("PUT", "/dav/%ff.png", None) != tags_of_dav("PUT", "/dav/%zz.png", None) == (EVERYTHING,)


def test_by_webdav_what_may_be_a_folder_ends_by_its_name_with_what_is_below_and_all_shares() -> None:
    tags = tags_of_dav("MOVE", "/dav/a/old", "https://cloud.example.com/dav/b/new")
    for uri in ("cloudreve://my/x/old/deep/one.png", "cloudreve://my/new/one.png", "cloudreve://AEUa@share/any.png"):
        assert ends(tags, uri)
    assert not ends(tags, "cloudreve://my/x/other/one.png")
    assert tags_of_dav("DELETE", "/dav/", None) == (EVERYTHING,)
