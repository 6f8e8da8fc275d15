"""Where a request on a connection begins and ends, and which request lines are brought to one form (RFC 9112)."""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.domain.errors import BadRequest, MethodNotAllowed
from proxy.domain.host import HOST
from proxy.domain.protocol_errors import CodingNotImplemented, HeadTooLarge, TargetTooLong, VersionNotSupported

ALLOWED = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
"""For `Allow` where no route decides."""
CHUNK_LINE_BYTES = 4096
"""The longest line of a chunk's size and extensions."""
TRAILER_BYTES = 65_536
_END = b"\r\n\r\n"
_EMPTY_LINES = re.compile(rb"(?:\r\n)*")
_CONTROLS = bytes({*range(0x20), 0x7F} - {*b"\t\r\n"})
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])")
_HOST_LINE = re.compile(rb"(?im)^host:[^\r\n]*\r\n")
_HOST_NAME, _CODING_NAME = b"\nhost:", b"\ntransfer-encoding:"
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(.*)")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class Limits(NamedTuple):
    """How large a head may be."""

    line_bytes: int
    head_bytes: int
    fields: int


class ReceivedHead(NamedTuple):
    """The first request of what has come, as far as it is there."""

    raw: bytes
    """The head as received; empty while it is not complete."""
    head: bytes
    """The same in the one form: version 1.0 or 1.1, a path for a target, in ASCII."""
    rest: bytes


class HeadReader:
    """Cuts heads off what comes over one connection."""

    __slots__ = ("_limits", "_seen")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen = 0
        """How much of the incomplete head has been looked through."""

    def take(self, data: bytes) -> ReceivedHead:
        """Take the next head. Raises a ProxyError as soon as it is certain that none comes that can be answered."""
        if data.startswith(b"\r\n"):
            data = data[_EMPTY_LINES.match(data).end() :]  # type: ignore[union-attr]  # it matches nothing, too
        end = data.find(_END, max(self._seen - len(_END), 0))
        size = end + len(_END) if end >= 0 else len(data)
        self._check(data, size)
        if end < 0:
            self._seen = size
            return ReceivedHead(b"", b"", data)
        self._seen = 0
        raw = data[:size]
        return ReceivedHead(raw, _in_one_form(raw), data[size:])

    def _check(self, data: bytes, size: int) -> None:
        """Look through what is new in the first `size` bytes."""
        limits, seen = self._limits, max(self._seen - 1, 0)
        if _is_broken(data[seen:size] if seen or size < len(data) else data):
            raise BadRequest("The head holds control characters, or lines that do not end with CR LF.")
        line = data.find(b"\r\n", 0, size)
        if (line if line >= 0 else size) > limits.line_bytes:
            raise TargetTooLong("The request line is too long.")
        if line >= seen:
            _request_line(data[:line])
        if size > limits.head_bytes:
            raise HeadTooLarge("The head is too large.")
        if size > limits.line_bytes and max(map(len, data[:size].split(b"\r\n"))) > limits.line_bytes:
            raise HeadTooLarge("A header field is too long.")
        if data.count(b"\r\n", 0, size) > limits.fields + 2:
            raise HeadTooLarge("There are too many header fields.")


def _is_broken(part: bytes) -> bool:
    """Tell whether a part of a head holds control characters, or ends of lines other than CR LF.

    Its first byte may be the second half of an end of line, and its last the first half.
    """
    if part.translate(None, _CONTROLS) != part:
        return True
    ends = part.count(b"\r\n")
    feeds, returns = part.count(b"\n") - part.startswith(b"\n"), part.count(b"\r") - part.endswith(b"\r")
    return feeds != ends or returns != ends


class LengthBody:
    """A body whose length the head has told."""

    __slots__ = ("_remaining",)

    def __init__(self, length: int) -> None:
        self._remaining = length

    @property
    def is_complete(self) -> bool:
        """Tell whether all of it has come."""
        return not self._remaining

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Cut off what belongs to the body; give it and the rest."""
        piece = data[: self._remaining]
        self._remaining -= len(piece)
        return piece, data[len(piece) :]


class ChunkedBody:
    """A body in chunks (RFC 9112 §7.1), which are given on without extensions and trailers."""

    __slots__ = ("_remaining", "_step", "_trailer_bytes", "is_complete")

    def __init__(self) -> None:
        self._remaining = 0
        self._step = self._size
        self._trailer_bytes = 0
        self.is_complete = False

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Cut off what belongs to the body; give it and the rest. Raises BadRequest where it breaks HTTP."""
        pieces, offset = [], 0
        while offset < len(data) and not self.is_complete:
            piece, after = self._step(data, offset)
            if after == offset:
                break
            pieces.append(piece)
            offset = after
        return b"".join(pieces), data[offset:]

    def _size(self, data: bytes, offset: int) -> tuple[bytes, int]:
        line, after = _chunk_line(data, offset)
        if after == offset:
            return b"", offset
        size = _CHUNK.fullmatch(line)
        if size is None:
            raise BadRequest("A chunk has no size.")
        self._remaining = int(size[1], 16)
        self._step = self._data if self._remaining else self._trailer
        return (b"%x\r\n" % self._remaining if self._remaining else b""), after

    def _data(self, data: bytes, offset: int) -> tuple[bytes, int]:
        piece = data[offset : offset + self._remaining]
        self._remaining -= len(piece)
        if not self._remaining:
            self._step = self._end_of_chunk
        return piece, offset + len(piece)

    def _end_of_chunk(self, data: bytes, offset: int) -> tuple[bytes, int]:
        end = data[offset : offset + 2]
        if end == b"\r":
            return b"", offset
        if end != b"\r\n":
            raise BadRequest("A chunk is longer than its size.")
        self._step = self._size
        return end, offset + 2

    def _trailer(self, data: bytes, offset: int) -> tuple[bytes, int]:
        line, after = _chunk_line(data, offset)
        self._trailer_bytes += after - offset
        if (line and not _TRAILER.fullmatch(line)) or self._trailer_bytes > TRAILER_BYTES:
            raise BadRequest("The trailers break HTTP, or are too large.")
        self.is_complete = not line and after > offset
        return (b"0\r\n\r\n" if self.is_complete else b""), after


Body = LengthBody | ChunkedBody


def _chunk_line(data: bytes, offset: int) -> tuple[bytes, int]:
    """Read one line; give it and the offset behind it, which is the same offset while the line is not complete."""
    end = data.find(b"\n", offset, offset + CHUNK_LINE_BYTES)
    if end < 0 and len(data) - offset < CHUNK_LINE_BYTES:
        return b"", offset
    if end < 1 or data[end - 1 : end] != b"\r" or end == offset:
        raise BadRequest("A line of a chunk is too long, or does not end with CR LF.")
    return data[offset : end - 1], end + 1


def _request_line(line: bytes) -> re.Match[bytes]:
    """Read a request line; raise a ProxyError for what is none of HTTP/1."""
    read = _LINE.fullmatch(line)
    if read is None:
        raise BadRequest("The request line must be a method, a target without blanks, and HTTP/1.1.")
    if read[3] != b"1":
        raise VersionNotSupported("HTTP/1.1 and HTTP/1.0 are spoken here.")
    if read[1] == b"CONNECT":
        raise MethodNotAllowed(ALLOWED)
    return read


def _in_one_form(raw: bytes) -> bytes:
    """Bring a complete head to the one form; raise a ProxyError where the request cannot be answered."""
    line, _, fields = raw.partition(b"\r\n")
    method, target, _, minor = _request_line(line).groups()
    lowered = raw.lower()
    hosts = _values(raw, lowered, _HOST_NAME)
    if not all(HOST.fullmatch(host.strip(b" \t")) for host in hosts) or len(hosts) > 1 or (minor > b"0" and not hosts):
        raise BadRequest("Exactly one `Host` is needed, with a name or an address.")
    _check_codings(_values(raw, lowered, _CODING_NAME), is_old=minor == b"0")
    if target[:1] not in (b"/", b"*"):
        target, fields = _relative(method, target, fields)
    elif minor <= b"1" and target.isascii():
        return raw
    target = _NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], target)
    return b"%b %b HTTP/1.%b\r\n%b" % (method, target, min(minor, b"1"), fields)


def _values(raw: bytes, lowered: bytes, name: bytes) -> list[bytes]:
    """Give the values of a field, by its name between line feed and colon; a regular expression takes longer."""
    found, offset = [], lowered.find(name)
    while offset >= 0:
        begin = offset + len(name)
        end = raw.find(b"\r\n", begin)
        found.append(raw[begin:end])
        offset = lowered.find(name, end)
    return found


def _relative(method: bytes, target: bytes, fields: bytes) -> tuple[bytes, bytes]:
    """Read a target in absolute form, whose host replaces `Host` (RFC 9112 §3.2.2)."""
    read = _ABSOLUTE.fullmatch(target)
    if read is None or not HOST.fullmatch(read[1]):
        raise BadRequest("The target must be a path that begins with /, or a URL with http or https.")
    path = read[2] if read[2][:1] == b"/" else b"/" + read[2]
    if method == b"OPTIONS" and not read[2]:
        path = b"*"
    return path, b"Host: %b\r\n" % read[1] + _HOST_LINE.sub(b"", fields)


def _check_codings(lines: list[bytes], *, is_old: bool) -> None:
    """Refuse transfer codings other than `chunked` (RFC 9112 §6.1)."""
    codings = [coding.strip(b" \t").lower() for line in lines for coding in line.split(b",")]
    if any(coding and coding != b"chunked" for coding in codings):
        raise CodingNotImplemented("`Transfer-Encoding` must be `chunked`.")
    if codings and (is_old or codings != [b"chunked"]):
        raise BadRequest("`Transfer-Encoding` must be `chunked`, once, and HTTP/1.1.")
