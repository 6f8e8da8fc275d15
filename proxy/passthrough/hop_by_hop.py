"""The heads of requests and answers that are passed through: what is refused, removed and added (RFC 9110 §7.6)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from proxy.domain.errors import BadRequest, Looping, UpstreamError
from proxy.domain.fields import Fields
from proxy.domain.host import HOST_TEXT
from proxy.domain.response_fields import CACHE_NAME
from proxy.http.forwarded import ForwardedFor

_OF_ONE_HOP = frozenset(
    {
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OF_EVERY_HOP = frozenset({"content-length", "host"})
"""Fields that `Connection` cannot talk a proxy into dropping: the other side would see another message."""
_ABOUT_THE_VISITOR = frozenset(
    {
        "cf-connecting-ip",
        "fly-client-ip",
        "forwarded",
        "true-client-ip",
        "x-appengine-remote-addr",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-real-ip",
    }
)
"""Beside X-Forwarded-*, fields in which servers look for a client's address: Cloudreve believes them from anybody
(gin's default)."""
_VERSIONS = frozenset({"1.0", "1.1"})
_TARGET = re.compile(r"/[!\"$-~]*")
_DOTS = re.compile(r"(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\]|%2f|%5c|$)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LIMITED = frozenset({"OPTIONS", "TRACE"})
"""The methods for which `Max-Forwards` counts."""
_PREFIX = re.compile(r"^__(?:Host|Secure)-", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request, as received."""

    method: str
    target: str = field(repr=False)
    version: str
    """Of HTTP: `1.0` or `1.1`; what else came is refused."""
    fields: Fields = field(repr=False)
    has_body: bool

    def all(self, name: str) -> list[str]:
        """Give the lines of one field, by its name in lower case."""
        return [value for key, value in self.fields if key.lower() == name]

    @property
    def expects_continue(self) -> bool:
        """Whether the visitor waits for `100 Continue` before sending a body; not in HTTP/1.0 (RFC 9110 §10.1.1)."""
        expected = ",".join(self.all("expect")).strip().lower() == "100-continue"
        return expected and self.has_body and self.version == "1.1"

    @property
    def wants_websocket(self) -> bool:
        """Whether the connection is to become a WebSocket (RFC 6455 §4.1); no other upgrade is passed on."""
        upgrade = [value.strip().lower() for value in self.all("upgrade")]
        may_switch = self.method == "GET" and self.version == "1.1" and not self.has_body
        return may_switch and upgrade == ["websocket"] and "upgrade" in _named(self.fields)


def fields_of(raw: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Read fields as they came, in the spelling of their names too."""
    return tuple((name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in raw)


def check(head: Head) -> None:
    """Raise BadRequest for a head that two servers could read differently, Looping for a request we have passed before.

    aiohttp's parser refuses most such heads already. Here what it lets through is refused, and what would allow request
    smuggling is checked a second time.
    """
    if head.version not in _VERSIONS or not _TARGET.fullmatch(head.target):
        raise BadRequest("The request line must be a method, a path that begins with /, and HTTP/1.1.")
    if _DOTS.search(head.target.partition("?")[0]):
        raise BadRequest("The path must not have `.` or `..` for a segment.")
    if any(_CONTROL.search(value) for _, value in head.fields):
        raise BadRequest("A header field holds control characters.")
    hosts = head.all("host")
    if len(hosts) > 1 or (head.version == "1.1" and not hosts) or not all(map(HOST_TEXT.fullmatch, hosts)):
        raise BadRequest("Exactly one `Host` is needed, with a name or an address.")
    _check_framing(head)
    if any(maker.split()[1:2] == [CACHE_NAME] for value in head.all("via") for maker in value.split(",")):
        raise Looping("cloudreve.url leads back to the gateway.")


def _check_framing(head: Head) -> None:
    """Refuse a body whose end is not certain (RFC 9112 §6.1, §6.3)."""
    lengths, codings = head.all("content-length"), [coding.lower() for coding in head.all("transfer-encoding")]
    if codings and (codings != ["chunked"] or lengths or head.version == "1.0"):
        raise BadRequest("`Transfer-Encoding` must be `chunked`, without `Content-Length`, and HTTP/1.1.")
    if len(lengths) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
        raise BadRequest("`Content-Length` must be one number.")


def onward(head: Head, seen: ForwardedFor, peer: str, own_cookies: Collection[str]) -> Fields:
    """Make the fields for Cloudreve; `peer` is the address that our connection comes from, "" where it has none.

    The cookies named in `own_cookies`, without `__Host-`, are removed, and those whose names go on with `_`. `Host` is
    the one in the visitor's address bar: Cloudreve chooses its site URL by it, and refuses a WebDAV `Destination` with
    another.
    """
    host = _host(head, seen)
    added = {
        "X-Forwarded-For": ", ".join(_chain(head, seen.client, peer)),
        "X-Real-IP": seen.client,
        "X-Forwarded-Proto": seen.scheme or "http",
        "X-Forwarded-Host": host,
        "Via": f"{head.version} {CACHE_NAME}",
        "Expect": _expectation(head),
    }
    if head.wants_websocket:
        added |= {"Connection": "Upgrade", "Upgrade": "websocket"}
    more = ((name, value) for name, value in added.items() if value)
    return _combined((*_kept(head, host, own_cookies), *more))


def answers_here(head: Head) -> bool:
    """Tell whether a request is for the first intermediary that it meets (RFC 9110 §7.6.2)."""
    return head.method in _LIMITED and head.all("max-forwards") == ["0"]


def back(fields: Fields, *, switched: bool = False, upgrade: str = "") -> Fields:
    """Make the fields for the visitor from those of an HTTP/1.1 answer.

    `switched` is one that says 101, and `upgrade` what another asks for, with 426.

    Raises UpstreamError for a field that would not end where it should.
    """
    if any(_CONTROL.search(value) for _, value in fields):
        raise UpstreamError("A header field of Cloudreve's answer holds control characters.")
    dropped = _of_this_hop(fields)
    if any(name.lower() == "transfer-encoding" for name, _ in fields):
        dropped |= {"content-length"}
    protocol = "websocket" if switched else upgrade
    switch = (("Connection", "Upgrade"), ("Upgrade", protocol)) if protocol else ()
    return (*(pair for pair in fields if pair[0].lower() not in dropped), ("Via", f"1.1 {CACHE_NAME}"), *switch)


def upgrade_of(fields: Fields) -> str:
    """Give the protocols that an answer asks for."""
    return ", ".join(value for name, value in fields if name.lower() == "upgrade")


def _combined(fields: Iterable[tuple[str, str]]) -> Fields:
    """Give fields of one name one spelling, and join the lines of `Cookie` (RFC 9110 §5.3, RFC 6265 §5.4).

    The client library keeps of two spellings the last only.
    """
    spelled: dict[str, str] = {}
    lines: list[tuple[str, str]] = []
    for name, value in fields:
        plain = name.lower()
        place = next((place for place, line in enumerate(lines) if plain == "cookie" == line[0].lower()), None)
        if place is None:
            lines.append((spelled.setdefault(plain, name), value))
        else:
            lines[place] = (lines[place][0], f"{lines[place][1]}; {value}")
    return tuple(lines)


def _of_this_hop(fields: Fields) -> frozenset[str]:
    return _OF_ONE_HOP | (_named(fields) - _OF_EVERY_HOP)


def _named(fields: Fields) -> frozenset[str]:
    """Give what `Connection` names."""
    lines = [value for name, value in fields if name.lower() == "connection"]
    return frozenset(token.strip().lower() for line in lines for token in line.split(","))


def _kept(head: Head, host: str, own_cookies: Collection[str]) -> Iterator[tuple[str, str]]:
    """Give what goes on as it came. Names are compared as the most careless server would: X_Real_IP is the same."""
    if host:
        yield "Host", host
    dropped = _of_this_hop(head.fields) | _ABOUT_THE_VISITOR | {"host", "expect"}
    for name, value in head.fields:
        plain = name.lower().replace("_", "-")
        is_imitation = plain != name.lower() and plain in _OF_EVERY_HOP
        if plain in dropped or plain.startswith("x-forwarded-") or is_imitation:
            continue
        kept = _without(own_cookies, value) if plain == "cookie" else value
        if plain == "max-forwards" and head.method in _LIMITED and value.isascii() and value.isdigit():
            kept = str(int(value[:9]) - 1)
        if kept or not value:
            yield name, kept


def _host(head: Head, seen: ForwardedFor) -> str:
    """Give the host as the visitor wrote it, unless a trusted proxy has told of another."""
    written = "".join(head.all("host"))
    plain = written.lower()
    if seen.host in {None, plain, plain.removesuffix(":80"), plain.removesuffix(":443")}:
        return written
    return seen.host or written


def _chain(head: Head, client: str, peer: str) -> list[str]:
    """Give the addresses from the visitor to our peer. Cloudreve believes the first: no claim may stand before it."""
    if client == peer:
        return [peer]
    told = [node.strip() for value in head.all("x-forwarded-for") for node in value.split(",")]
    behind = told[len(told) - told[::-1].index(client) :] if client in told else []
    return [client, *behind, peer]


def _expectation(head: Head) -> str:
    """Give `Expect` for Cloudreve: 100-continue only where there is a body; what we do not know as it came."""
    expected = ", ".join(head.all("expect"))
    if head.version == "1.0" or (expected.strip().lower() == "100-continue" and not head.has_body):
        return ""
    return expected


def _without(own: Collection[str], cookies: str) -> str:
    """Remove the gateway's own cookies from one line; a line without any stays as it is."""
    pairs = [pair.strip() for pair in cookies.split(";")]
    names = [_PREFIX.sub("", pair.partition("=")[0].rstrip()) for pair in pairs]
    kept = [pair for pair, name in zip(pairs, names, strict=True) if not any(_is_of(each, name) for each in own)]
    return cookies if len(kept) == len(pairs) else "; ".join(kept)


def _is_of(own: str, name: str) -> bool:
    return name == own or name.startswith(f"{own}_")
