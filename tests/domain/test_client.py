"""Clients: which addresses are one client, and which identities."""

from __future__ import annotations

import pytest

from proxy.domain.client import client_at, client_of
from proxy.domain.identity import ANONYMOUS, Identity, IdentityKind


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:0201", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:0db8:0001:0002:0:0:0:1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_an_ipv4_address_or_an_ipv6_network_of_64_bits_is_one_client(address: str, client: str) -> None:
    assert client_at(address) == client


def test_a_user_is_one_client_at_every_address_and_anybody_else_is_the_address() -> None:
    """A published account too: everybody may ask in its name."""
    user, account = Identity(IdentityKind.USER, "abcd", "app", ("Files.Read",)), Identity(IdentityKind.ACCOUNT, "efgh")
    assert {client_of(user, "192.0.2.1"), client_of(Identity(IdentityKind.USER, "abcd"), "192.0.2.2")} == {"abcd"}
    assert client_of(account, "192.0.2.1") == client_of(ANONYMOUS, "192.0.2.1") == "192.0.2.1"
