"""Builds the objects below routes, fast path and live events: calls to Cloudreve, stores, the steps of a request."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.domain.seal import Sealer
from proxy.domain.ssrf import Origins
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.lookup import Grants
from proxy.grants.share_owners import ShareOwners
from proxy.identity.accounts import Accounts
from proxy.identity.identify import Identifier
from proxy.pictures.infos import Infos
from proxy.pictures.lookup import Pictures
from proxy.pictures.respond import Responder
from proxy.sessions.lifecycle import Sessions
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.images import Images, public_socket
from proxy.upstream.oauth import OAuth
from proxy.wiring.changes import change_feed, share_owners
from proxy.wiring.first_contact import contact
from proxy.wiring.infos import infos
from proxy.wiring.of_settings import sealer_of
from proxy.wiring.parts import Parts
from proxy.wiring.stores import Stores, stores


@dataclass(frozen=True, slots=True)
class Core:
    """The steps of a request, and the objects below them."""

    cloudreve: Cloudreve
    oauth: OAuth
    stores: Stores
    feed: ChangeFeed
    owners: ShareOwners
    grants: Grants
    pictures: Pictures
    responder: Responder
    infos: Infos
    sealer: Sealer
    sessions: Sessions
    accounts: Accounts
    identifier: Identifier


async def core_of(parts: Parts) -> Core:
    """Build them, and begin their background work."""
    cloudreve, images = await _upstream(parts)
    built = await stores(parts)
    tiers, sharing = built.tiers, built.sharing
    sign_outs = await parts.sign_outs(tiers, built.redis)
    feed = await change_feed(parts, tiers, built.change_log, sign_outs)
    owners = await share_owners(parts, cloudreve)
    grants = await parts.grants(cloudreve, tiers, sharing, feed, owners)
    pictures = await parts.pictures(images, tiers, sharing)
    encoders = parts.encoders()
    responder = Responder(pictures, await parts.variants(tiers, encoders, sharing), parts.clock)
    info = await infos(parts, responder, tiers, encoders, sharing)
    sealer, oauth = sealer_of(parts.settings), OAuth(cloudreve, parts.observer, parts.settings.sign_in)
    sessions = await parts.sessions(sealer, oauth, built.shared_values, sign_outs, sharing)
    accounts = await parts.accounts(oauth)
    identifier = await parts.identifier(cloudreve, sessions, accounts)
    return Core(
        cloudreve, oauth, built, feed, owners, grants, pictures, responder, info, sealer, sessions, accounts, identifier
    )


async def _upstream(parts: Parts) -> tuple[Cloudreve, Images]:
    """Make the clients of Cloudreve and of image storage; learn Cloudreve's clock first."""
    settings = parts.settings.cloudreve
    origins = Origins(settings.url, settings.public_origins, settings.image_hosts)
    trusted = await parts.session()
    images = Images(trusted, await parts.session(socket_factory=public_socket), origins, settings)
    cloudreve = Cloudreve(trusted, parts.clock, origins, parts.observer, settings, parts.settings.grants)
    await contact(cloudreve, parts)
    return cloudreve, images
