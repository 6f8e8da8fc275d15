"""Cookies on the wire (RFC 6265bis): their names, the one that a request carries, the line that sets one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class SameSite(StrEnum):
    """On which requests a browser sends a cookie."""

    STRICT = "Strict"
    """Only on those that begin at the site itself."""
    LAX = "Lax"
    """Also where another site leads the visitor here."""


def cookie_name(name: str, *, is_secure: bool) -> str:
    """Give the name in full. With `__Host-` nobody but this very host can have set it (RFC 6265bis §4.1.3.2)."""
    return f"__Host-{name}" if is_secure else name


def read_cookie(lines: Sequence[str], name: str) -> str | None:
    """Find a cookie in the lines of `Cookie`; None where there is none, or two, one of which is not of our making."""
    pairs = (pair.partition("=") for line in lines for pair in line.split(";"))
    values = [value.strip() for given, _, value in pairs if given.strip() == name]
    return values[0] if len(values) == 1 and values[0] else None


def set_cookie(name: str, value: str, max_age_s: float, *, is_secure: bool, same_site: SameSite) -> str:
    """Write `Set-Cookie`; with no time left it takes the cookie away."""
    secure = "; Secure" if is_secure else ""
    lasting = f"Max-Age={max(int(max_age_s), 0)}"
    return (
        f"{cookie_name(name, is_secure=is_secure)}={value}; Path=/; {lasting}; HttpOnly; SameSite={same_site}{secure}"
    )
