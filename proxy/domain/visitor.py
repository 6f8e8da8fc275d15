"""A visitor who has been named."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.domain.credentials import Credentials
from proxy.domain.identity import Identity
from proxy.domain.session import SessionCookie, SessionRef


@dataclass(frozen=True, slots=True)
class Visitor:
    """An identity and the credentials with which Cloudreve is asked in its name."""

    identity: Identity
    credentials: Credentials
    sure_until: float
    """Unix time in seconds on Cloudreve's clock until which the identity is believed; infinite without a credential."""
    session: SessionRef | None = None
    """The session whose cookie has told who it is, if one has."""
    renewed: SessionCookie | None = None
    """The cookie that is to replace that one, if any."""
