"""Header fields in which proxies tell of a visitor; believed only of proxies that the configuration names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from proxy.domain.host import ORIGIN_HOST

FieldValues = Callable[[str], Sequence[str]]
"""Gives the lines of a header field by its name, as received; none for a field that is not there."""

KNOWN_ADDRESSES = 4096
"""How many addresses are remembered as they were read."""
MAX_NODE_CHARS = 64
"""An address with brackets and port takes no more; what is longer is not remembered whole."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_QUOTED = re.compile(r'(?:[^"\\]|"[^"\\]*")*')
_ELEMENT = re.compile(r'(?:[^,"]|"[^"]*")+')
_PAIR = re.compile(r'\s*([A-Za-z]+)=("[^"]*"|[^\s"]+)\s*')


@dataclass(frozen=True, slots=True)
class ForwardedFor:
    """How a visitor reached us, as far as it can be believed."""

    client: str
    """The farthest address that a trusted proxy vouches for; empty where there is none, as on a unix socket."""
    scheme: str | None = None
    """`http` or `https`; None where no trusted proxy has said."""
    host: str | None = None
    """In lower case, with the port where it is not the scheme's own; None likewise."""

    @property
    def origin(self) -> str | None:
        """The origin in the visitor's address bar, such as https://cloud.example.com; None where it is not known."""
        return f"{self.scheme}://{self.host}" if self.scheme and self.host else None


class _Hop(NamedTuple):
    """The client of one proxy, as the proxy tells it; empty texts where it says nothing."""

    client: str
    scheme: str
    host: str


class Proxies:
    """The proxies that are trusted, by address or network."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(network) for network in networks]
        # The same few come with every request, and reading an address takes as long as all the rest.
        self.trusts = lru_cache(KNOWN_ADDRESSES)(self._trusts)
        self._node = lru_cache(KNOWN_ADDRESSES)(_node)

    def _trusts(self, address: str) -> bool:
        """Tell whether what comes from this address is believed."""
        parsed = _address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def seen(self, peer: str, fields: FieldValues) -> ForwardedFor:
        """Tell how a visitor reached us, going back from the peer of our connection for as long as there is trust.

        Some proxies set X-Forwarded-*, others `Forwarded`, and each passes on what a visitor sent of the other kind:
        where both are there and differ, nothing is believed.
        """
        return self.told(peer, fields) if self.trusts(peer) else ForwardedFor(peer)

    def told(self, peer: str, fields: FieldValues) -> ForwardedFor:
        """Tell it where the peer is trusted."""
        told = {self._told(peer, hops) for hops in (_customary(fields), _standard(fields)) if hops}
        if len(told) != 1:
            return ForwardedFor(peer)
        hop = told.pop()
        return _seen(hop.client, hop.scheme.lower(), (hop.host or ",".join(fields("Host"))).lower())

    def _told(self, peer: str, hops: Sequence[_Hop]) -> _Hop:
        """Read hops from the nearest proxy, which is trusted, outwards; the farthest trusted one decides."""
        told = _Hop(peer, "", "")
        for hop in reversed(hops):
            node = self._node(hop.client[:MAX_NODE_CHARS])
            told = _Hop(node or told.client, hop.scheme or told.scheme, hop.host or told.host)
            if not self.trusts(node):
                break
        return told


def _customary(fields: FieldValues) -> list[_Hop]:
    """Read X-Forwarded-*; a field with fewer values than hops was set by one proxy, so that its first holds for all."""
    clients, schemes, hosts = (_list(fields(f"X-Forwarded-{name}")) for name in ("For", "Proto", "Host"))
    if not (clients or schemes or hosts):
        return []
    count = max(len(clients), 1)
    return [_Hop(*hop) for hop in zip(*(_fitted(values, count) for values in (clients, schemes, hosts)), strict=True)]


def _fitted(values: list[str], count: int) -> list[str]:
    """Give the last `count` values, the first of them repeated where there are fewer."""
    return [*(values[:1] or [""]) * (count - len(values)), *values[-count:]]


def _list(lines: Sequence[str]) -> list[str]:
    return [value.strip() for line in lines for value in line.split(",")]


def _standard(fields: FieldValues) -> list[_Hop]:
    """Read `Forwarded` (RFC 7239); nothing where it is malformed, for it cannot be told who malformed it."""
    text = ",".join(fields("Forwarded"))
    hops = [_hop(element) for element in _ELEMENT.findall(text)] if _QUOTED.fullmatch(text) else []
    return [hop for hop in hops if hop] if all(hops) else []


def _hop(element: str) -> _Hop | None:
    pairs = [_PAIR.fullmatch(part) for part in element.split(";")]
    said = {pair[1].lower(): pair[2].strip('"') for pair in pairs if pair}
    return _Hop(said.get("for", ""), said.get("proto", ""), said.get("host", "")) if all(pairs) else None


def _seen(client: str, scheme: str, host: str) -> ForwardedFor:
    """Keep scheme and host only where they can be part of an origin."""
    if scheme not in _DEFAULT_PORTS:
        return ForwardedFor(client)
    host = host.removesuffix(_DEFAULT_PORTS[scheme])
    return ForwardedFor(client, scheme, host if ORIGIN_HOST.fullmatch(host) else None)


def _node(text: str) -> str:
    """Give the address out of `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; empty for none."""
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    address = _address(bare.partition(":")[0] if bare.count(":") == 1 else bare)
    return str(address) if address else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) becomes IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
