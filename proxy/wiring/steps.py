"""Gives the gateway its steps."""

from __future__ import annotations

from proxy.gateway import Steps
from proxy.grants.authorise import Authoriser
from proxy.grants.lookup import Grants
from proxy.identity.identify import Identifier
from proxy.live_events.interest import Interest
from proxy.pictures.infos import Infos
from proxy.pictures.respond import Answers


def steps_of(
    identifier: Identifier, authoriser: Authoriser, grants: Grants, answers: Answers, infos: Infos, interest: Interest
) -> Steps:
    """Name what of the rooms the gateway calls."""
    return Steps(
        identify=identifier.identify,
        authorise=authoriser.authorise,
        heed=interest.note,
        forget=grants.forget,
        note=grants.note,
        remaining_s=answers.remaining_s,
        show=answers.give,
        describe=infos.give,
        refuse=answers.refused,
    )
