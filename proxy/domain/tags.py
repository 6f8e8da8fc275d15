"""Tags: digests that say what a grant rests on, and what a change has changed. One that both have ends the grant."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TypeAlias
from urllib.parse import unquote

from proxy.domain.digest import digest
from proxy.domain.file_uri import FileUri
from proxy.domain.identity import Identity
from proxy.domain.picture import PictureId

Tag: TypeAlias = bytes
"""A digest: tags are kept in stores and in sealed URLs."""

TAG_BYTES = 8
"""Two texts with one tag cost a needless question to Cloudreve. Only where a picture is confirmed (`grants/marks.py`)
would a grant stay that should end: if two pictures of one file, whose numbers are Cloudreve's own, had the same tag."""
UNKNOWN = "?"
"""Stands for a share's owner who is not known: no user id has such a character."""
_CACHED = 10_000


def _tag(kind: str, *fields: str) -> Tag:
    return bytes.fromhex(digest(blake2b(digest_size=TAG_BYTES, person=b"tag"), kind, *fields))


EVERYTHING = _tag("everything")
"""What every grant rests on."""
SHARES = _tag("shares")
"""What every grant of a file in a share rests on."""

SHARED_WITH_ME = _tag("shared with me")
"""What every grant of a file in `shared_with_me` rests on: its URI says neither whose it is nor what it is called."""


def user_tag(subject: str) -> Tag:
    """Return the tag of all that a user was granted."""
    return _tag("user", subject)


def picture_tag(picture: PictureId) -> Tag:
    """Return the tag of a picture."""
    return _tag("picture", picture)


def files_tag(owner: str) -> Tag:
    """Return the tag of all files of a user."""
    return _tag("path", f"my:{owner}")


def share_tag(share: str) -> Tag:
    """Return the tag of a share, given by its id."""
    return _tag("path", f"share:{share}")


def shares_tag(owner: str) -> Tag:
    """Return the tag of all files in a user's shares."""
    return _tag("shares of", owner)


def named_in_shares_tag(owner: str, name: str) -> Tag:
    """Return the tag of the files of one name in a user's shares."""
    return _tag("shares of, named", owner, name)


def named_tag(name: str) -> Tag:
    """Return the tag of all files of one name."""
    return _tag("named", name)


def below_named_tag(name: str) -> Tag:
    """Return the tag of all files and folders of one name, and of what is in them."""
    return _tag("below", name)


def path_tag(uri: FileUri, subject: str) -> Tag:
    """Return the tag of a file or folder with all that is in it; `subject` is the user to whom `my` belongs."""
    root, names = _place(uri, subject)
    return _tag("path", root, *names)


def name_of(uri: FileUri) -> str:
    """Return the last name of a path as it stands in the URI; empty for a root."""
    return uri.text.split("/", 3)[-1].rpartition("/")[2] if uri.text.count("/") > 2 else ""  # noqa: PLR2004 - cloudreve://fs/


def share_of(uri: FileUri) -> str:
    """Return the id of the share that a file is in; empty where it is in none."""
    return _userinfo(uri).partition(":")[0] if uri.filesystem == "share" else ""


def password_of(uri: FileUri) -> str:
    """Return the password in the URI of a file in a share, percent-encoding undone; empty for none."""
    return unquote(_userinfo(uri).partition(":")[2]) if uri.filesystem == "share" else ""


def owner_of(uri: FileUri, subject: str) -> str:
    """Return the user whose file it is, as far as the URI says so."""
    return (_userinfo(uri) or subject) if uri.filesystem == "my" else ""


@lru_cache(_CACHED)
def place_tags(uri: FileUri, subject: str, share_owner: str = UNKNOWN) -> tuple[Tag, ...]:
    """Return the tags of a File URI as `subject` means it: the file, each folder above it, its names, its share."""
    root, names = _place(uri, subject)
    paths = (_tag("path", root, *names[:depth]) for depth in range(len(names) + 1))
    name = names[-1] if names else ""
    shares: tuple[Tag, ...] = ()
    if uri.filesystem == "share":
        shares = (SHARES, shares_tag(share_owner), named_in_shares_tag(share_owner, name))
    elif uri.filesystem == "shared_with_me":
        shares = (SHARES, SHARED_WITH_ME)
    return (*paths, named_tag(name), *map(below_named_tag, names), *shares)


def fixed_tags(identity: Identity, picture: PictureId = "") -> tuple[Tag, ...]:
    """Return the tags that a grant has wherever its file lies."""
    common = (EVERYTHING, user_tag(identity.subject)) if identity.subject else (EVERYTHING,)
    return (*common, picture_tag(picture)) if picture else common


def _place(uri: FileUri, subject: str) -> tuple[str, tuple[str, ...]]:
    """Return the root, bound to the user or share that it is of, and the names below it."""
    owner = share_of(uri) or owner_of(uri, subject) or subject
    return f"{uri.filesystem}:{owner}", tuple(uri.text.split("/")[3:])


def _userinfo(uri: FileUri) -> str:
    return uri.text.split("/", 3)[2].rpartition("@")[0]
