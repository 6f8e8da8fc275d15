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


def cookie_name(name: str, *, is_secure: bool, path: str = "/") -> str:
    """Give the name in full. With `__Host-` nobody but this very host can have set it (RFC 6265bis §4.1.3.2).

    That prefix demands `Path=/`. Where the gateway has but a part of a host's paths, `__Secure-` is what remains.
    """
    if not is_secure:
        return name
    return f"__Host-{name}" if path == "/" else f"__Secure-{name}"


def read_cookie(lines: Sequence[str], name: str) -> str | None:
    """Find a cookie in the lines of `Cookie`; None where there is none, or two, one of which is not of our making."""
    pairs = (pair.partition("=") for line in lines for pair in line.split(";"))
    values = [value.strip() for given, _, value in pairs if given.strip() == name]
    return values[0] if len(values) == 1 and values[0] else None


def cookie_names(lines: Sequence[str], beginning: str) -> list[str]:
    """List the cookies in the lines of `Cookie` whose names begin so; browsers send the oldest first."""
    names = (pair.partition("=")[0].strip() for line in lines for pair in line.split(";"))
    return [name for name in names if name.startswith(beginning)]


def set_cookie(
    name: str, value: str, max_age_s: float, *, is_secure: bool, same_site: SameSite, path: str = "/"
) -> str:
    """Write `Set-Cookie`; with no time left it takes the cookie away."""
    full_name = cookie_name(name, is_secure=is_secure, path=path)
    lasting = f"Max-Age={max(int(max_age_s), 0)}"
    secure = "; Secure" if is_secure else ""
    return f"{full_name}={value}; Path={path}; {lasting}; HttpOnly; SameSite={same_site}{secure}"
