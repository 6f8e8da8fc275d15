"""The access tokens that there are, good ones and others."""

from __future__ import annotations

import math

from proxy.standin.library import Account
from proxy.standin.site import Site
from tests.leaks.visitors import Token
from tests.leaks.witness import Who

GOOD = ("alice", "bob", "alice-reads", "alice-cannot", "bob-writes")
"""Of a user, or of an OAuth client that a user has given leave to, named after what it may do."""
NAMES = (*GOOD, "garbage", "forged", "expired", "refresh")
_SCOPES: dict[str, tuple[str, ...]] = {
    "reads": ("Files.Read", "openid"),
    "cannot": ("openid", "profile"),
    "writes": ("Files.Write", "openid"),
}


def token_of(site: Site, name: str, life_s: float) -> Token:
    alice, bob = site.library.accounts
    match name:
        case "garbage":
            return Token("no.to.ken", None, math.inf)
        case "forged":
            claimed = site.issue(alice, "access", life_s).rpartition(".")[0]
            return Token(f"{claimed}.{site.issue(bob, 'access', life_s).rpartition('.')[2]}", None, math.inf)
        case "expired":
            return Token(site.issue(alice, "access", -100.0), None, math.inf)
        case "refresh":
            return Token(site.issue(alice, "refresh", life_s), None, math.inf)
    user, _, rights = name.partition("-")
    return _good(site, alice if user == "alice" else bob, rights, life_s)


def _good(site: Site, account: Account, rights: str, life_s: float) -> Token:
    client, scopes = ("app", _SCOPES[rights]) if rights else ("", ())
    text = site.issue(account, "access", life_s, client, scopes)
    return Token(text, Who(account.id, client, scopes), site.now() + life_s)
