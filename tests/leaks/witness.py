"""The grants of Cloudreve, to whom and when: seen at the stand-in itself, whatever a gateway makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from proxy.standin import gourl, signing
from proxy.standin.answer import Refused
from proxy.standin.calls import Call, CallLog
from proxy.standin.gourl import Address
from proxy.standin.library import Account, File
from proxy.standin.navigator import Navigator
from proxy.standin.standin import StandIn

MARGIN_S = 10.0
MAX_TTL_S = 3600.0
DEFAULT_TTL_S = 60.0
SLACK_S = 3.0
"""What clocks that are read through `Date`, and the time that a request takes, may be apart."""


class Who(NamedTuple):
    """Everything by which Cloudreve tells askers apart; all empty for anybody."""

    subject: str = ""
    client: str = ""
    scopes: tuple[str, ...] = ()
    ticket: str = ""


ANYBODY = Who()


@dataclass(frozen=True, slots=True)
class Leave:
    """Cloudreve's leave for somebody to see a file under an address, without any help of a context hint."""

    who: Who
    address: Address
    file: File
    since: float
    until: float

    def holds(self, now: float, begun: float) -> bool:
        """Tell whether it counts at this time, for a request that began then; a short one for that request alone."""
        return now <= self.until + SLACK_S or self.since >= begun


class _Navigator(Navigator):
    """Notes beside every search what it would have come to without a hint."""

    def __init__(self, cloudreve: StandIn) -> None:
        super().__init__(cloudreve.library)
        self.judged: dict[tuple[str, str, str], File | None] = {}

    def find(self, uri: str, viewer: Account | None, ticket: str, hint: str, now: float) -> File:
        """Find it as Cloudreve does."""
        place = viewer.id if viewer else "anonymous", uri, ticket
        try:
            self.judged[place] = super().find(uri, viewer, ticket, "", now)
        except Refused:
            self.judged[place] = None
        return super().find(uri, viewer, ticket, hint, now)


class Witness(CallLog):
    """Stands in for the call log of a stand-in, and draws the conclusions."""

    def __init__(self, cloudreve: StandIn) -> None:
        super().__init__()
        self._cloudreve = cloudreve
        self._navigator = _Navigator(cloudreve)
        self.leaves: list[Leave] = []
        cloudreve.calls, cloudreve.navigator = self, self._navigator

    async def end(self, call: Call) -> None:
        """Note a leave where there was one."""
        if call.verb == "resolve" and call.code == 0:
            file = self._navigator.judged[call.identity, call.target, call.ticket]
            if file is not None:
                now = self._cloudreve.now()
                leave = Leave(self._who(call), gourl.read(call.target), file, now, now + self._life_s())
                self.leaves.append(leave)
        await super().end(call)

    def use(self, uri: str, hint: str, ticket: str = "") -> None:
        """Let somebody without a name ask Cloudreve directly, with a hint."""
        try:
            self._navigator.find(uri, None, ticket, hint, self._cloudreve.now())
        except Refused:
            return

    def _who(self, call: Call) -> Who:
        text = call.headers.get("authorization", "").removeprefix("Bearer ")
        token = signing.verify(text, self._cloudreve.secret, self._cloudreve.now())
        if token is None:
            return Who(ticket=call.ticket)
        return Who(token.subject, token.client, tuple(sorted(token.scopes)), call.ticket)

    def _life_s(self) -> float:
        site = self._cloudreve
        return min(DEFAULT_TTL_S if site.null_expires else site.url_life_s - MARGIN_S, MAX_TTL_S)
