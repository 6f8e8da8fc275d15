"""The client that every limit counts: a user by id, anybody else by network."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import TypeAlias

from proxy.domain.identity import Identity, IdentityKind

Client: TypeAlias = str
"""Key of one client: a user id, an IPv4 address or an IPv6 /64; empty where the address is not known."""

BACKGROUND: Client = "background"
"""Work for no visitor, which waits behind all of them."""

_PREFIX_BITS = 64
"""One subscriber has all addresses of an IPv6 /64 (RFC 6177), and may use another one for each connection."""


def client_at(address: str) -> Client:
    """Return the client behind an address; an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) counts as IPv4."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped or ip_network((parsed, _PREFIX_BITS), strict=False))


def client_of(identity: Identity, at: Client) -> Client:
    """Return the client that asks as this identity, `at` being the client of its address."""
    return identity.subject if identity.kind is IdentityKind.USER and at != BACKGROUND else at
