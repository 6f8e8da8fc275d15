"""Builds the lookup of pictures' size and look, and the queue that finds them out in the background."""

from __future__ import annotations

from proxy.cache.tiers import Tiers
from proxy.coalesce.singleflight import Singleflight
from proxy.coalesce.work_sharing import WorkSharing
from proxy.domain.grant import Grant
from proxy.domain.picture_info import PictureInfo
from proxy.gateway import Gateway
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.validity import Decision, is_valid
from proxy.http.info_search import InfoSearch
from proxy.pictures.answer import InfoAnswer
from proxy.pictures.encoders import Encoders
from proxy.pictures.infos import Infos
from proxy.pictures.respond import Responder
from proxy.wiring.parts import Parts


async def infos(parts: Parts, responder: Responder, tiers: Tiers, encoders: Encoders, sharing: WorkSharing) -> Infos:
    """Make what looks up what is known of pictures."""
    singleflight = await parts.singleflight(Singleflight[PictureInfo](parts.settings.cloudreve.max_waiting))
    return Infos(responder, tiers, encoders, singleflight, sharing, parts.settings.pictures)


async def info_search(parts: Parts, gateway: Gateway, feed: ChangeFeed) -> InfoSearch:
    """Make what finds it out in the background."""

    def still_counts(decision: Decision[Grant]) -> bool:
        return is_valid(decision, parts.clock.now(), feed.invalidations)

    singleflight = await parts.singleflight(Singleflight[InfoAnswer]())  # bounded by the queue
    wait_s = parts.settings.pictures.info_wait_s
    return InfoSearch(gateway, parts.fair_queue("info", 1), singleflight, still_counts, wait_s)
