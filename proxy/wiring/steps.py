"""Gives the gateway its steps."""

from __future__ import annotations

from collections.abc import Callable

from proxy.gateway import Steps
from proxy.grants.authorise import Authoriser
from proxy.grants.found_grant import Authorised
from proxy.grants.lookup import Grants
from proxy.identity.identify import Identifier
from proxy.pictures.infos import Infos
from proxy.pictures.respond import Responder


def steps_of(
    identifier: Identifier,
    authoriser: Authoriser,
    grants: Grants,
    responder: Responder,
    infos: Infos,
    heed: tuple[Callable[[Authorised], None], ...],
) -> Steps:
    """Name the functions of the rooms that the gateway calls; all of `heed` hear of each granted request."""
    return Steps(
        identify=identifier.identify,
        authorise=authoriser.authorise,
        heed=lambda authorised: [hear(authorised) for hear in heed],
        forget=grants.forget,
        note=grants.note,
        remaining_s=responder.remaining_s,
        show=responder.give,
        describe=infos.give,
        refuse=responder.refused,
    )
