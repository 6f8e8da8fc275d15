"""Where a picture may be fetched from: the site itself, hosts that the configuration lists, and public addresses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urljoin

from yarl import URL

from proxy.domain.errors import UpstreamError

_PRIVATE_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "10.0.0.0/8",
            "100.64.0.0/10",  # carriers' own; clouds keep services there
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's platform service, on every machine there
            "169.254.0.0/16",  # link-local, instance metadata
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
_PRIVATE_6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
        ),
    )
)
_EMBEDDING = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64, the way out of networks without IPv4 (RFC 6052)
    (IPv6Network("2002::/16"), 80),  # 6to4
)
"""Networks whose addresses lead to an IPv4 address, and how many bits stand to the right of it."""
_ISATAP = 0x00005EFE
"""Before the last 32 bits of any prefix: a tunnel to the IPv4 address in these (RFC 5214 §6.1)."""


def is_public_address(address: str) -> bool:
    """Say whether an IP address, as getaddrinfo gives it, belongs to the public internet; False for any other text.

    Our own tables (IANA's special-purpose registries), because ipaddress.is_global changed between Python's patches
    and looks through no embedding.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return _is_public_4(found) if isinstance(found, IPv4Address) else _is_public_6(found)


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in network for network in _PRIVATE_4)


def _is_public_6(address: IPv6Address) -> bool:
    for network, shift in _EMBEDDING:
        if address in network:
            return _is_public_4(IPv4Address(int(address) >> shift & 0xFFFFFFFF))
    if int(address) >> 32 & 0xFDFFFFFF == _ISATAP:
        return False
    return address in _GLOBAL_6 and not any(address in network for network in _PRIVATE_6)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to fetch from. Of a guarded one, the caller checks every address before it connects."""

    url: URL = field(repr=False)
    internal: bool
    """Cloudreve itself, at its internal address."""
    guarded: bool
    """Neither the site nor listed, so that only a public address will do."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """Scheme, host and effective port, in the one form in which they can be compared."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


@dataclass(frozen=True, slots=True)
class Origins:
    """The site's own origins, and the hosts that the configuration lists as harmless.

    `base` (the internal address) and `public_origins` are http(s) origins. An entry of `image_hosts` is `host` (any
    port), `host:port`, or `.example.com` for every host below example.com. Anything else raises ValueError.
    """

    base: str
    public_origins: tuple[str, ...] = ()
    image_hosts: tuple[str, ...] = ()
    _base: _Origin = field(init=False, repr=False, compare=False)
    _own: frozenset[_Origin] = field(init=False, repr=False, compare=False)
    _listed: frozenset[tuple[str, int | None]] = field(init=False, repr=False, compare=False)
    _suffixes: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = [_configured(text) for text in (self.base, *self.public_origins)]
        hosts = [text.lower() for text in self.image_hosts]
        suffixes = tuple(f".{_host(text[1:])}" for text in hosts if text.startswith("."))
        object.__setattr__(self, "_base", own[0])
        object.__setattr__(self, "_own", frozenset(own))
        object.__setattr__(self, "_listed", frozenset(_authority(text) for text in hosts if not text.startswith(".")))
        object.__setattr__(self, "_suffixes", suffixes)

    def target(self, url: str) -> Target:
        """Return where an image URL is to be fetched; path and query stay as they are, for they are signed.

        Raise `UpstreamError` for what is no http(s) URL with a plain host and without user or password.
        """
        try:
            origin, rest = _split(url)
        except ValueError as error:
            raise UpstreamError(f"The image URL {error}.") from None
        is_own = origin in self._own
        internal = origin == self._base or (is_own and rest.startswith(_OWN_PATHS))
        place = self._base if internal else origin
        return Target(URL(f"{place}{rest}", encoded=True), internal, not is_own and not self._is_listed(origin))

    def follow(self, base: Target, location: str) -> Target:
        """Return where a redirect from `base` leads; `UpstreamError` where it must not be followed."""
        if not _PRINTABLE.fullmatch(location):
            raise UpstreamError("The image URL redirects, but not to a URL.")
        try:
            target = self.target(location if _URL.fullmatch(location) else urljoin(str(base.url), location))
        except ValueError:
            raise UpstreamError("The image URL redirects, but not to a URL.") from None
        if base.url.scheme == "https" and target.url.scheme == "http" and not target.internal:
            raise UpstreamError("The image URL redirects from https to http.")
        return target

    def _is_listed(self, origin: _Origin) -> bool:
        exact = {(origin.host, None), (origin.host, origin.port)}
        return not exact.isdisjoint(self._listed) or origin.host.endswith(self._suffixes)


_OWN_PATHS = ("/api/", "/f/")
"""Paths that Cloudreve answers itself; below another path of its public address a proxy may have storage."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65535
_MAX_NAME = 253
_PRINTABLE = re.compile(r"[!-\[\]-~]+")
"""ASCII without blanks, control characters and the backslash, over which parsers of URLs disagree."""
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def _split(url: str) -> tuple[_Origin, str]:
    """Return a URL's origin and its raw path and query; ValueError says what is wrong, without the URL.

    Stricter than the standards: what two parsers might read differently is refused, not interpreted.
    """
    if not _PRINTABLE.fullmatch(url):
        raise ValueError("contains a blank, a backslash, a control or non-ASCII character")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise ValueError("does not start with http:// or https://")
    scheme, authority, path, query = parts.groups("")
    host, port = _authority(authority.lower())
    scheme = scheme.lower()
    return _Origin(scheme, host, port or _DEFAULT_PORTS[scheme]), (path or "/") + query


def _configured(text: str) -> _Origin:
    origin, rest = _split(text)
    if rest != "/":
        raise ValueError("has a path; an origin is http://host:port or https://host")
    return origin


def _authority(text: str) -> tuple[str, int | None]:
    """Return host and port, if one is named. No userinfo, no escapes, no empty port."""
    parts = _AUTHORITY.fullmatch(text)
    if parts is None:
        raise ValueError("names no plain host, with or without a port")
    host, port = parts.groups()
    if port is None:
        return _host(host), None
    if not 0 < int(port) <= _MAX_PORT:
        raise ValueError("names no possible port")
    return _host(host), int(port)


def _host(text: str) -> str:
    """Return the comparable form of a lower-case name or address; numbers that only some read as an address are out."""
    if text.startswith("["):
        return f"[{_address_6(text[1:-1])}]"
    name = text.removesuffix(".")
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise ValueError("names no plain host, with or without a port")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        _check_address_4(text)
    return name


def _address_6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise ValueError("names no valid address") from None


def _check_address_4(text: str) -> None:
    try:
        IPv4Address(text)
    except AddressValueError:
        raise ValueError("names no valid address") from None
