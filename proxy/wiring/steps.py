"""Gives the gateway its steps."""

from __future__ import annotations

from collections.abc import Callable

from proxy.gateway import Steps
from proxy.grants.authorise import Authoriser
from proxy.grants.found_grant import Authorised
from proxy.wiring.core import Core


def steps_of(core: Core, timer: Callable[[], float], heed: tuple[Callable[[Authorised], None], ...]) -> Steps:
    """Name the functions of the rooms that the gateway calls; all of `heed` hear of each granted request."""
    return Steps(
        identify=core.identifier.identify,
        authorise=Authoriser(core.grants, timer).authorise,
        heed=heed,
        forget=core.grants.forget,
        note=core.grants.note,
        remaining_s=core.responder.remaining_s,
        show=core.responder.give,
        describe=core.infos.give,
        refuse=core.responder.refused,
    )
