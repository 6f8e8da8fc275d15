"""URLs the way Cloudreve reads them: Go's net/url and path.Clean, followed rule by rule.

Shares no code with the gateway's own canonical form, so that tests of the one have the other to disagree with.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BAD_USERINFO = re.compile(r"[^A-Za-z0-9._:~!$&'()*+,;=%@-]")
_ASCII_ESCAPE = re.compile(r"%[0-7]")
_BAD_HOST = re.compile(r"[\x00-\x20\x7f\\^`{|}#/?@%]")
_PORT = re.compile(r":[0-9]*\Z")


class NotAnAddress(ValueError):
    """Text that Go does not take for a URL, or Cloudreve not for one of its own."""


@dataclass(frozen=True, slots=True)
class Address:
    """A File URI taken apart."""

    filesystem: str
    """Lower case, a port included; anything at all, for only the navigator knows which exist."""
    user: str | None
    """Decoded name before the `@`; None where there is no `@`, which is not the same as an empty one."""
    password: str
    path: str
    """Decoded, absolute and clean."""

    @property
    def elements(self) -> list[str]:
        """Give the names on the way from the root; none for the root itself."""
        return [name for name in self.path.split("/") if name]


def read(text: str) -> Address:
    """Take a File URI apart; NotAnAddress where Cloudreve would say `unknown uri`."""
    if _CONTROL.search(text):
        raise NotAnAddress("control character")
    rest, _, fragment = text.partition("#")
    unescape(fragment)
    scheme = _SCHEME.match(rest)
    if scheme is None or scheme[1].lower() != "cloudreve":
        raise NotAnAddress("another scheme, or none")
    rest = rest[scheme.end() :].partition("?")[0]
    if not rest.startswith("/"):
        return Address("", None, "", "/")  # Go calls the rest opaque: there is neither host nor path
    authority, path = "", rest
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        path = slash + path
    user, password, host = _authority(authority)
    return Address(host.lower(), user, password, clean(unescape(path)))


def unescape(text: str) -> str:
    """Decode percent escapes; a broken one is an error, and a plus sign is a plus sign."""
    if _BAD_ESCAPE.search(text):
        raise NotAnAddress("broken escape")
    return unquote(text, errors="surrogateescape")


def clean(path: str) -> str:
    """Return the shortest absolute path that means the same; `..` at the root stays there."""
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            names = names[:-1]
        elif name not in {"", "."}:
            names.append(name)
    return "/" + "/".join(names)


def query_value(query: str, name: str) -> str:
    """Return the first value of a query parameter, or nothing; Go drops pairs with a semicolon or a broken escape."""
    for pair in query.split("&"):
        if ";" in pair:
            continue
        key, _, value = pair.partition("=")
        try:
            if unescape(key.replace("+", " ")) == name:
                return unescape(value.replace("+", " "))
        except NotAnAddress:
            continue
    return ""


def _authority(authority: str) -> tuple[str | None, str, str]:
    userinfo, at, host = authority.rpartition("@")
    _check_host(host)
    if not at:
        return None, "", unquote(host)
    if _BAD_USERINFO.search(userinfo):
        raise NotAnAddress("user")
    user, _, password = userinfo.partition(":")
    return unescape(user), unescape(password), unquote(host)


def _check_host(host: str) -> None:
    if host.startswith("["):
        literal, bracket, port = host[1:].rpartition("]")
        if not bracket or (port and not _PORT.match(port)):
            raise NotAnAddress("host")
        try:
            ipaddress.IPv6Address(literal)
        except ValueError as error:
            raise NotAnAddress("host") from error
        return
    if ":" in host and not _PORT.search(host):
        raise NotAnAddress("port")
    if _BAD_ESCAPE.search(host) or _ASCII_ESCAPE.search(host) or _BAD_HOST.search(host.replace("%", "")):
        raise NotAnAddress("host")
