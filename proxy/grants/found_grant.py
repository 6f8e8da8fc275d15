"""A live grant and its source: what authorise hands to the next steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from proxy.domain.file_uri import FileUri
from proxy.domain.grant import Grant
from proxy.domain.identity import Identity
from proxy.domain.source import Source
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.visitor import Visitor
from proxy.grants.validity import Decision


class FoundGrant(NamedTuple):
    """A grant that may be shown now, and its source; STALE is one that has ended and bridges an outage.

    `collapsed`: another request's load has brought it.
    """

    decision: Decision[Grant]
    source: Source
    collapsed: bool
    key: str = ""
    """Where the tiers keep it; empty for a grant that no tier holds."""

    @property
    def grant(self) -> Grant:
        """The grant."""
        return self.decision.grant


@dataclass(frozen=True, slots=True)
class Granted:
    """Permission to see a picture, for a caller that needs no more than that."""

    identity: Identity
    uri: FileUri
    found: FoundGrant
    remaining_s: float


class Authorised(NamedTuple):
    """A grant, with the visitor and the request that it is kept under: without what Cloudreve does not require."""

    visitor: Visitor
    request: ThumbRequest
    found: FoundGrant
