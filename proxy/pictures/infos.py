"""The size and look of a picture, for pages before its bytes come: looked up, or found out once over all replicas."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from proxy.cache.entry_loader import WantedEntry, entry_loader
from proxy.cache.tiers import Tiers
from proxy.coalesce.messages import Received
from proxy.coalesce.singleflight import Singleflight
from proxy.coalesce.work_sharing import WorkSharing
from proxy.domain.client import Client
from proxy.domain.entry import Entry
from proxy.domain.errors import Busy
from proxy.domain.grant import Grant
from proxy.domain.identity import Identity
from proxy.domain.keys import etag, info_id, picture_key
from proxy.domain.picture import Picture
from proxy.domain.picture_info import PictureInfo
from proxy.domain.response_fields import Handling
from proxy.domain.source import Source
from proxy.domain.thumb_request import PictureRequest
from proxy.grants.found_grant import FoundGrant
from proxy.pictures.answer import Answer, InfoAnswer, Note
from proxy.pictures.encoders import EncodeFailed, Encoders
from proxy.pictures.respond import Responder
from proxy.pictures.variants import RETRY_S
from proxy.settings import PictureSettings


class Infos:
    """Finds out size and look of the bytes that a variant is shown as. The caller holds a live grant."""

    def __init__(
        self,
        responder: Responder,
        tiers: Tiers,
        encoders: Encoders,
        singleflight: Singleflight[PictureInfo],
        sharing: WorkSharing,
        settings: PictureSettings,
    ) -> None:
        self._responder = responder
        self._tiers = tiers
        self._encoders = encoders
        self._singleflight = singleflight
        self._sharing = sharing
        self._ttl_max_s = settings.ttl_s

    async def give(self, identity: Identity, found: FoundGrant, request: PictureRequest, note: Note) -> InfoAnswer:
        """Tell size and colours; raise the errors of `Responder.give`, and Busy while the variant is being encoded."""
        kept = await self._kept(found.grant, request)
        if kept is not None:
            handling = Handling(found.source, kept[1], found.collapsed)
            return InfoAnswer(identity, kept[0], self._responder.remaining_s(found.grant), handling, found)
        answer = await self._responder.give(identity, found, replace(request, if_none_match=None), note)
        if answer.handling.is_interim and answer.handling.picture is not Source.STALE:
            raise Busy("This picture is being encoded.")
        info = await self._made(found.grant, request, answer)
        return InfoAnswer(identity, info, answer.remaining_s, answer.handling, answer.found)

    async def _kept(self, grant: Grant, request: PictureRequest) -> tuple[PictureInfo, Source] | None:
        """Give what a tier holds of the very version that the grant names."""
        if not grant.own and not grant.version:
            return None
        key = picture_key(info_id(grant.picture, request.variant))
        kept = await self._tiers.get(key, (PictureInfo,), self._ttl_s, request.client)
        return kept if kept is not None and (grant.own or kept[0].version == grant.version) else None

    async def _made(self, grant: Grant, request: PictureRequest, answer: Answer) -> PictureInfo:
        assert answer.shown is not None  # noqa: S101 - nothing was said of what the visitor has
        body = answer.shown.body
        picture = body if isinstance(body, Picture) else await body.whole()
        name = info_id(grant.picture, request.variant)
        version = "" if grant.own else picture.version
        tag = answer.etag or etag(grant.picture, version)
        is_final = tag == etag(grant.picture, version, request.variant)
        shown = PictureInfo(name, picture.version, tag, picture.media_type, len(picture.body), None, is_final)
        made, _ = self._singleflight.join(
            f"{name} {picture.version}", lambda: self._load(shown, picture, request.client)
        )
        return await made

    async def _load(self, shown: PictureInfo, picture: Picture, client: Client) -> PictureInfo:
        async def accept(entry: Entry, _: Received | None) -> PictureInfo | None:
            return entry if isinstance(entry, PictureInfo) and replace(entry, look=None) == shown else None

        key, make = picture_key(shown.id), partial(self._looked, shown, picture, client)
        wanted = WantedEntry(key, client, accept, make, self._ttl_s, self._ttl_s)
        return await self._sharing.share(entry_loader(self._tiers, wanted))

    async def _looked(self, shown: PictureInfo, picture: Picture, client: Client) -> PictureInfo:
        try:
            return replace(shown, look=await self._encoders.look(picture.body, client, shown.id))
        except EncodeFailed:
            return replace(shown, is_final=False)

    def _ttl_s(self, entry: Entry) -> float:
        if not isinstance(entry, PictureInfo):
            return 0.0
        return self._ttl_max_s if entry.is_final else min(RETRY_S, self._ttl_max_s)
