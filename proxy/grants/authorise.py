"""Asks for a grant with no more than Cloudreve requires, so that what it ignores makes no grant of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Flag, auto

from cachetools import TTLCache

from proxy.domain.errors import Busy, Refused, Unreachable
from proxy.domain.file_uri import root, without_password
from proxy.domain.refusal import RefusalKind
from proxy.domain.request_fields import TICKET
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.visitor import Visitor
from proxy.grants.found_grant import Authorised
from proxy.grants.lookup import Grants
from proxy.identity.claims import holding

WRONG_PASSWORD_CODE = 40069
KNOWN_SHARES = 10_000
KNOWN_S = 3600.0
"""How long a share is remembered to require something; whether it still does costs one resolve."""


class Requirement(Flag):
    """The parts of a request that Cloudreve looks at in some shares and ignores in all others."""

    NOTHING = 0
    PASSWORD = auto()
    TICKET = auto()


EVERYTHING = Requirement.PASSWORD | Requirement.TICKET


class Authoriser:
    """Leaves a share's password and the purchase ticket out of the question until Cloudreve asks for them.

    A grant that was given without them proves that this identity may see the file whatever it brings besides.
    """

    def __init__(self, grants: Grants, timer: Callable[[], float]) -> None:
        self._grants = grants
        self._required: TTLCache[str, Requirement] = TTLCache(KNOWN_SHARES, KNOWN_S, timer=timer)

    async def authorise(self, visitor: Visitor, request: ThumbRequest) -> Authorised:
        """Give a live grant; raise what `Grants.find` raises."""
        share = root(request.uri)
        required = self._required.get(share, Requirement.NOTHING)
        while True:
            question = _question(visitor, request, required)
            try:
                return Authorised(*question, await self._grants.find(*question))
            except Refused as refused:
                missing = _missing(refused)
                if missing in required:
                    raise
                required |= missing
                self._required[share] = required
                if _question(visitor, request, required) == question:
                    raise
            except (Unreachable, Busy):
                if _question(visitor, request, EVERYTHING) == question:
                    raise
                required = EVERYTHING  # such a grant may be kept


def _missing(refused: Refused) -> Requirement:
    if refused.code == WRONG_PASSWORD_CODE:
        return Requirement.PASSWORD
    if refused.refusal.kind is RefusalKind.PAYMENT_REQUIRED:
        return Requirement.TICKET
    return Requirement.NOTHING


def _question(visitor: Visitor, request: ThumbRequest, required: Requirement) -> tuple[Visitor, ThumbRequest]:
    """Leave out what is not required."""
    if Requirement.PASSWORD not in required:
        request = replace(request, uri=without_password(request.uri))
    sent = visitor.credentials.fields
    if Requirement.TICKET not in required and TICKET in dict(sent):
        fields = tuple(each for each in sent if each[0] != TICKET)
        credentials = replace(visitor.credentials, fields=fields)
        visitor = replace(visitor, identity=holding(visitor.identity, fields), credentials=credentials)
    return visitor, request
