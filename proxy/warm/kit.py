"""The objects that `thumb-proxy warm` needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.domain.errors import ProxyError
from proxy.domain.file_uri import FileUri, parse
from proxy.warm.walk import CredentialsOf
from proxy.warm.warmer import Warmer


@dataclass(frozen=True, slots=True)
class Kit:
    """A gateway that warms."""

    warmer: Warmer
    max_uri_bytes: int
    has_tier: bool
    """Whether what is warmed outlives this process."""
    bearer: Callable[[str], CredentialsOf | None]
    """Gives the credentials of a configured account, by its e-mail address or number; None for another."""

    def named(self, uri: str, account: str | None) -> tuple[FileUri, CredentialsOf | None]:
        """Give the folder, and whose eyes to use, None for the public's; ValueError says what is wrong."""
        bearer = self.bearer(account) if account is not None else None
        if account is not None and bearer is None:
            raise ValueError(f"no [[publish]] has the account {account!r}")
        try:
            return parse(uri, self.max_uri_bytes), bearer
        except ProxyError as error:
            raise ValueError(error.detail) from None


def told(error: BaseException) -> str:
    """Say why a folder could not be listed."""
    if isinstance(error, ProxyError):
        return error.detail or error.title
    return type(error).__name__
