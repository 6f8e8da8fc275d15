"""Which requests to Cloudreve may change what a File URI shows, and what of it (docs/cloudreve.md, Changes)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from proxy.domain.errors import BadRequest
from proxy.domain.file_uri import FileUri, parse
from proxy.domain.tags import (
    EVERYTHING,
    SHARED_WITH_ME,
    SHARES,
    UNKNOWN,
    Tag,
    below_named_tag,
    files_tag,
    name_of,
    named_in_shares_tag,
    named_tag,
    owner_of,
    path_tag,
    share_of,
    share_tag,
    shares_tag,
)

MAX_URI_BYTES = 64 * 1024
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_CALLBACKS = "/api/v4/callback/"
_HARMLESS = tuple(f"/api/v4/file/{name}" for name in ("url", "pin", "lock", "viewerSession", "wopi", "source", "view"))
"""They change no picture, or are called by office servers, which have no token."""
_DAV = "/dav"
_DAV_FILES = frozenset({"PUT", "PROPPATCH"})
_DAV_TREES = frozenset({"DELETE", "MOVE", "COPY"})


class Kind(Enum):
    """Where a request says what it changes."""

    FILES = auto()
    """File URIs in its query or its body; each may be a folder."""
    CONTENT = auto()
    """The same, and each is a file, whose bytes or metadata change."""
    UPLOAD = auto()
    """An upload begins: its answer names a session, which later requests are part of."""
    SESSION = auto()
    """An upload session in its path."""
    SHARE = auto()
    """Shares, in its path or its body."""
    DAV = auto()
    """The path of a WebDAV account, whose root and user are not known."""
    ADMIN = auto()
    """Files by numbers that mean nothing here, or what groups may see."""


@dataclass(frozen=True, slots=True)
class Changing:
    """A request that may change something."""

    kind: Kind
    name: str = ""
    """Of the upload session or the share."""

    @property
    def has_body(self) -> bool:
        """Whether its body may have to be read to know what it changes."""
        return self.kind in (Kind.FILES, Kind.CONTENT, Kind.UPLOAD) or (self.kind is Kind.SHARE and not self.name)


class _Body(msgspec.Struct):
    uri: str = ""
    uris: list[str] = []
    dst: str = ""
    new_name: str = ""
    id: str = ""
    ids: list[str] = []


def changing(method: str, path: str) -> Changing | None:
    """Tell what kind of change a request may make, if any; `path` is without its query."""
    names = [*path.split("/"), "", "", ""]
    if path.startswith(_CALLBACKS):  # some kinds of storage have a GET for it
        return Changing(Kind.SESSION, names[5])
    if names[1] == "dav":
        return Changing(Kind.DAV) if method in _DAV_FILES | _DAV_TREES else None
    if method in _READS or names[1:3] != ["api", "v4"] or path.startswith(_HARMLESS):
        return None
    return _of_api(method, path, names[3], [*filter(None, names[4:])])


def _of_api(method: str, path: str, room: str, names: list[str]) -> Changing | None:
    """Tell it of a request that is no mere read."""
    found = None
    match room, names:
        case "file", ["upload", session, *_]:
            found = Changing(Kind.SESSION, session)
        case "file", ["upload"] if method == "PUT":
            found = Changing(Kind.UPLOAD)
        case "file", ["content" | "create" | "metadata" | "upload" | "version", *_]:
            found = Changing(Kind.CONTENT)
        case "file", _:
            found = Changing(Kind.FILES)
        case "share", [share, *_]:
            found = Changing(Kind.SHARE, share)
        case "share", [] if method == "DELETE":
            found = Changing(Kind.SHARE)
        case "admin", ["file" | "entity" | "share" | "user" | "group" | "policy" | "settings", *_] if (
            method != "POST" or path.endswith("/delete")
        ):
            found = Changing(Kind.ADMIN)
    return found


def named_uris(query: str, body: bytes | None, but: Collection[FileUri] = ()) -> tuple[list[FileUri], str]:
    """Give the File URIs that a request names in its query and its JSON, and where it moves or renames them to.

    The query is as received: a name may hold an escape. Those of `but` are left out.
    """
    said = _said(body)
    texts = [*parse_qs(query).get("uri", ()), said.uri, *said.uris]
    uris = [uri for uri in parsed(filter(None, texts)) if uri not in but]
    return [*uris, *_targets(uris, said)], said.id


def _said(body: bytes | None) -> _Body:
    try:
        return msgspec.json.decode(body, type=_Body) if body else _Body()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Body()


def _targets(uris: Iterable[FileUri], said: _Body) -> list[FileUri]:
    """Give the places at which files will be: what was there before may be replaced."""
    found = []
    for uri in uris:
        if said.dst:
            found.append(f"{said.dst}/{name_of(uri)}")
        elif said.new_name:
            found.append(uri.text.rpartition("/")[0] + "/" + _quoted(said.new_name))
    return parsed(found)


def tags_of_files(
    uris: Iterable[FileUri], kind: Kind, subject: str, owner_of_share: Callable[[str], str | None]
) -> tuple[Tag, ...]:
    """Give the tags of a change of these files or folders, made by the user `subject`."""
    found: list[Tag] = []
    for uri in uris:
        found.append(path_tag(uri, subject))
        share = share_of(uri)
        owner = owner_of_share(share) if share else owner_of(uri, subject) or subject
        if owner in (None, UNKNOWN, ""):
            return (EVERYTHING,)
        if share or uri.filesystem == "trash":
            found += (files_tag(owner), *_in_shares(owner))
        elif kind is Kind.CONTENT:
            found += _named_in_shares(owner, name_of(uri))
        else:
            found += _in_shares(owner)
    return tuple(dict.fromkeys(found)) or tags_of_user(subject)


def tags_of_user(subject: str) -> tuple[Tag, ...]:
    """Give the tags of a change of some file of a user's."""
    return (files_tag(subject), *_in_shares(subject)) if subject else (EVERYTHING,)


def tags_of_shares(share: str, body: bytes | None) -> tuple[Tag, ...]:
    """Give the tags of a change of a share, or of those that a body names."""
    shares = [share] if share else _said(body).ids
    return (*map(share_tag, shares), SHARED_WITH_ME) if shares else (SHARES,)


def tags_of_dav(method: str, path: str, destination: str | None) -> tuple[Tag, ...]:
    """Give the tags of a change by WebDAV: of all files of that name, whosever they are; `path` is as received."""
    names = [_last(path), *([_last(urlsplit(destination).path)] if destination else ())]
    if not all(names):
        return (EVERYTHING,)
    if method in _DAV_FILES:
        return (*map(named_tag, names), SHARED_WITH_ME)
    return (*map(below_named_tag, names), SHARES)


def _in_shares(owner: str) -> tuple[Tag, ...]:
    return shares_tag(owner), shares_tag(UNKNOWN), SHARED_WITH_ME


def _named_in_shares(owner: str, name: str) -> tuple[Tag, ...]:
    return named_in_shares_tag(owner, name), named_in_shares_tag(UNKNOWN, name), SHARED_WITH_ME


def _last(path: str) -> str:
    uri = _parsed("cloudreve://my" + path.removeprefix(_DAV))
    return name_of(uri) if uri is not None else ""


def _quoted(name: str) -> str:
    uri = _parsed("cloudreve://my/" + name.replace("%", "%25").replace("#", "%23").replace("?", "%3F"))
    return name_of(uri) if uri is not None else unquote(name)


def parsed(texts: Iterable[str]) -> list[FileUri]:
    """Give the File URIs among texts."""
    return [uri for text in texts if (uri := _parsed(text)) is not None]


def _parsed(text: str) -> FileUri | None:
    try:
        return parse(text, MAX_URI_BYTES)
    except BadRequest:
        return None
