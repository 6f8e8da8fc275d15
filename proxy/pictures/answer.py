"""Answers to a visitor with a grant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from proxy.domain.client import Client
from proxy.domain.grant import Grant
from proxy.domain.identity import Identity
from proxy.domain.keys import picture_key
from proxy.domain.picture import Picture, PictureHead
from proxy.domain.picture_info import PictureInfo
from proxy.domain.response_fields import Handling
from proxy.domain.session import SessionCookie, SessionRef
from proxy.domain.thumb_request import PictureRequest
from proxy.grants.found_grant import FoundGrant
from proxy.pictures.stream_buffer import StreamBuffer

Note = Callable[[Grant, str], Awaitable[None]]
"""Takes note of the version of a foreign picture that was seen under a grant."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The body of a 200: a picture, complete or arriving."""

    head: PictureHead
    body: Picture | StreamBuffer


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a picture; nothing `shown` means 304, the visitor has it already."""

    identity: Identity
    etag: str | None
    remaining_s: float
    handling: Handling
    shown: Shown | None
    found: FoundGrant
    """The grant that the answer rests on."""
    client: Client = ""
    """The client that has asked."""
    renewed: SessionCookie | None = None
    """The cookie that is to replace the visitor's, if any."""
    session: SessionRef | None = None
    """The session whose cookie the visitor has shown, if any."""

    @property
    def picture_key(self) -> str:
        """Where the tiers keep the bytes that are shown; empty where none are, or not all have come."""
        body = self.shown.body if self.shown is not None else None
        return picture_key(body.id) if isinstance(body, Picture) else ""


@dataclass(frozen=True, slots=True)
class InfoAnswer:
    """An answer with facts about a picture, and their source."""

    identity: Identity
    info: PictureInfo
    remaining_s: float
    handling: Handling
    found: FoundGrant
    """The grant that the answer rests on."""
    renewed: SessionCookie | None = None
    """The cookie that is to replace the visitor's, if any."""
    session: SessionRef | None = None
    """The session whose cookie the visitor has shown, if any."""


A = TypeVar("A", Answer, InfoAnswer)
Give = Callable[[Identity, FoundGrant, PictureRequest, Note], Awaitable[A]]
"""Gives either; raises GrantRejected when upstream no longer honours the grant."""
