"""The File URI: all spellings that Cloudreve takes for one file become one text (docs/cloudreve.md, File URIs)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from proxy.domain.errors import BadRequest


@dataclass(frozen=True, slots=True)
class FileUri:
    """A File URI in canonical form: equal for Cloudreve means equal here. May hold a share password: never printed."""

    text: str = field(repr=False)
    filesystem: str

    @property
    def is_absolute(self) -> bool:
        """Whether it names the same file for every visitor: a share does, and a user's files by the owner's id."""
        authority = self.text.split("/", 3)[2]
        return self.filesystem == "share" or (self.filesystem == "my" and "@" in authority)

    def __str__(self) -> str:
        return f"cloudreve://…@{self.filesystem}/…"


_ACCEPTED = "accepted is cloudreve://[id[:password]@]my|share|shared_with_me|trash/path"
ESCAPED_BYTES = 3
"""How many bytes percent-encoding makes of one."""
_SCHEME = b"cloudreve://"
_FILESYSTEMS = frozenset({b"my", b"share", b"shared_with_me", b"trash"})
_OWNED = frozenset({"my", "share"})
"""Where the id says whose file it is; elsewhere it means nothing (docs/cloudreve.md, File URIs)."""
_UNESCAPED = "-_.!~*'()"
"""Beside letters and digits: what encodeURIComponent leaves alone, so that our form is that of Cloudreve's own page."""

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_USERINFO = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:@%-]*")
"""What Go's net/url lets stand raw before the last `@`; any other character it wants percent-encoded."""


def parse(text: str, max_bytes: int) -> FileUri:
    """Return the canonical form of a File URI: two texts are equal exactly when Cloudreve sees the same file in them.

    Raise `BadRequest` for what Cloudreve would not understand and for more than `max_bytes`
    once percent-encoding is undone: a name in another script takes three times as much encoded.
    The parts are cut in the order of Go's net/url, which Cloudreve uses: fragment, query, authority, path.
    What Cloudreve ignores is left out: fragment, query, a password outside of shares, an id but in `my` and shares.
    """
    raw = _encoded(text, max_bytes)
    raw, _, fragment = raw.partition(b"#")
    _decoded(fragment)  # it means nothing, but a broken one makes Cloudreve refuse the whole
    raw = raw.partition(b"?")[0]  # a search in a folder, and nothing to a thumbnail (docs/cloudreve.md, File URIs)
    if raw[: len(_SCHEME)].lower() != _SCHEME:
        raise BadRequest(f"The File URI does not start with cloudreve://; {_ACCEPTED}.")
    authority, _, path = raw[len(_SCHEME) :].partition(b"/")
    userinfo, at, host = authority.rpartition(b"@")
    filesystem = _filesystem(host)
    owner = _owner(userinfo, filesystem) if at else ""
    if filesystem == "share" and not owner:
        raise BadRequest("The File URI names no share; accepted is cloudreve://id[:password]@share/path.")
    canonical = f"cloudreve://{owner}{filesystem}{_path(path)}"
    if len(unquote_to_bytes(canonical)) > max_bytes:
        raise _too_long(max_bytes)
    return FileUri(canonical, filesystem)


def child(folder: FileUri, name: str) -> FileUri:
    """Return what is in a folder under a name."""
    return FileUri(f"{folder.text.rstrip('/')}/{quote(name, safe=_UNESCAPED)}", folder.filesystem)


def root(uri: FileUri) -> str:
    """Return the file system that a file is in, without the share's password."""
    userinfo, at, filesystem = _authority(uri).rpartition("@")
    return f"cloudreve://{userinfo.partition(':')[0]}{at}{filesystem}"


def share_root(uri: FileUri) -> FileUri:
    """Return the share that a file is in, with its password."""
    return FileUri(f"cloudreve://{_authority(uri)}", uri.filesystem)


def without_password(uri: FileUri) -> FileUri:
    """Return the same file for those who need no password."""
    authority = _authority(uri)
    if ":" not in authority:
        return uri
    return FileUri(root(uri) + uri.text.removeprefix(f"cloudreve://{authority}"), uri.filesystem)


def _authority(uri: FileUri) -> str:
    return uri.text.split("/", 3)[2]


def _too_long(max_bytes: int) -> BadRequest:
    return BadRequest(f"The File URI is too long; accepted are {max_bytes} bytes, a percent-encoded one counting once.")


def _encoded(text: str, max_bytes: int) -> bytes:
    """Return the text's bytes, once they are short enough and something that Go's net/url would look into."""
    if len(text) > ESCAPED_BYTES * max_bytes:
        raise _too_long(max_bytes)
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        # Without the cause: it holds the text, and the text may hold a password.
        raise BadRequest("The File URI is not valid Unicode; accepted is UTF-8.") from None
    if len(raw) > ESCAPED_BYTES * max_bytes:
        raise _too_long(max_bytes)
    if _CONTROL.search(raw):
        raise BadRequest("The File URI contains a control character; accepted are percent-encoded ones.")
    return raw


def _decoded(part: bytes) -> bytes:
    """Return the bytes that percent-encoding stands for; unlike in forms, a plus is a plus."""
    if _BROKEN_ESCAPE.search(part):
        raise BadRequest("The File URI contains a broken percent escape; accepted is % and two hexadecimal digits.")
    return unquote_to_bytes(part)


def _filesystem(host: bytes) -> str:
    """Return the file system's name; a port, an escape or a dot makes it one that Cloudreve does not know."""
    name = host.lower()
    if name not in _FILESYSTEMS:
        raise BadRequest(f"The File URI names an unknown file system; {_ACCEPTED}.")
    return name.decode()


def _owner(userinfo: bytes, filesystem: str) -> str:
    """Return `id@` or `id:password@`; an empty password is none, but an empty id is not the asking user's."""
    if not _USERINFO.fullmatch(userinfo):
        raise BadRequest("The File URI's id or password contains a raw special character; accepted is it encoded.")
    name, _, password = userinfo.partition(b":")
    if not name:
        raise BadRequest(f"The File URI has an empty id before the @; {_ACCEPTED}.")
    name_text, password_text = (quote(_decoded(part), safe=_UNESCAPED) for part in (name, password))
    if filesystem not in _OWNED:
        return ""
    return f"{name_text}:{password_text}@" if password_text and filesystem == "share" else f"{name_text}@"


def _path(path: bytes) -> str:
    """Return the path as Go's path.Clean leaves it. It sees the decoded path: %2F separates, %2e%2e goes up."""
    segments: list[bytes] = []
    for segment in _decoded(path).split(b"/"):
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    return "".join("/" + quote(segment, safe=_UNESCAPED) for segment in segments)
