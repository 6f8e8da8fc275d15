"""The last step: from a live grant to the answer."""

from __future__ import annotations

from typing import NamedTuple

from cachetools import TTLCache

from proxy.domain.errors import GrantRejected, ProxyError, Refused, UpstreamError
from proxy.domain.grant import Grant
from proxy.domain.identity import Identity
from proxy.domain.keys import etag
from proxy.domain.picture import Picture, PictureHead, PictureId
from proxy.domain.refusal import FAILED_CODE, Refusal, RefusalKind
from proxy.domain.response_fields import Handling, matches
from proxy.domain.source import Source
from proxy.domain.storage_errors import NotMade, NotStored, StorageBusy
from proxy.domain.thumb_request import PictureRequest
from proxy.domain.variant import ORIGINAL, Variant
from proxy.grants.found_grant import FoundGrant
from proxy.pictures.answer import Answer, Note, Shown
from proxy.pictures.lookup import Pictures
from proxy.pictures.stream_buffer import StreamBuffer
from proxy.pictures.variants import Variants
from proxy.upstream.clock import Clock

REFUSED_S = 5.0
"""How long a picture that was just granted and could not be fetched is not fetched again."""
REFUSED_PICTURES = 10_000


class _NotFetched(NamedTuple):
    """Why a picture could not be fetched, and when it was granted then."""

    reason: type[GrantRejected]
    granted_at: float
    code: int | None
    """Cloudreve's, where it answered in place of the picture."""
    correlation_id: str
    storage: str
    """The storage's answer, and advice for the operator."""
    advice: str


class _Found(NamedTuple):
    """The picture that is to be shown, and where it came from."""

    body: Picture | StreamBuffer
    source: Source
    collapsed: bool
    variant: Variant
    is_interim: bool = False


class Responder:
    """Finds the picture that a grant names, in the variant that was asked for, unless the visitor has it already."""

    def __init__(self, pictures: Pictures, variants: Variants, clock: Clock) -> None:
        self._pictures = pictures
        self._variants = variants
        self._clock = clock
        self._refused: TTLCache[PictureId, _NotFetched] = TTLCache(REFUSED_PICTURES, REFUSED_S, timer=clock.timer)
        """Why pictures that are granted cannot be fetched."""

    def refused(self, grant: Grant, error: GrantRejected) -> ProxyError:
        """Remember for seconds that this picture is granted and cannot be fetched; return the error that says so."""
        known = _NotFetched(
            type(error), grant.granted_at, error.code, error.correlation_id, error.storage, error.advice
        )
        self._refused[grant.picture] = known
        return self._refusal(known)

    def _check_refused(self, grant: Grant) -> None:
        """Raise what is known of a picture that cannot be fetched; an older grant may name one that was replaced."""
        known = self._refused.get(grant.picture)
        if known is None:
            return
        if grant.granted_at < known.granted_at:
            raise GrantRejected("The image URL is older than one that is no longer honoured.")
        raise self._refusal(known)

    def _refusal(self, known: _NotFetched) -> ProxyError:
        if known.reason is NotMade:
            return Refused(Refusal(RefusalKind.NOT_FOUND, FAILED_CODE))
        error: ProxyError = UpstreamError("Cloudreve grants an image URL that is not honoured; is its clock right?")
        if known.reason is NotStored:
            error = StorageBusy(REFUSED_S, "The picture is granted, but its storage does not give it (yet).")
        error.code, error.correlation_id = known.code, known.correlation_id
        error.storage, error.advice = known.storage, known.advice
        return error

    async def give(self, identity: Identity, found: FoundGrant, request: PictureRequest, note: Note) -> Answer:
        """Answer with a picture or 304; raise GrantRejected when upstream no longer honours the grant."""
        grant, tag = found.grant, _etag(found.grant, "", request.variant)
        if tag and matches(request.if_none_match, tag):
            handling = Handling(found.source, None, found.collapsed)
            return Answer(identity, tag, self.remaining_s(grant), handling, None, found, request.client)
        note = self._noting(found, note)
        shown = await self._found(found, request, note)
        head = shown.body.head if isinstance(shown.body, Picture) else await shown.body.opened()
        source = shown.body.source if isinstance(shown.body, StreamBuffer) else shown.source
        await _note_version(found, shown.body, head, source, note)
        tag = _etag(grant, head.version, shown.variant)
        is_known = bool(tag) and matches(request.if_none_match, tag or "")
        handling = Handling(found.source, source, found.collapsed or shown.collapsed, is_interim=shown.is_interim)
        body = None if is_known else Shown(head, shown.body)
        return Answer(identity, tag, self.remaining_s(grant), handling, body, found, request.client)

    async def _found(self, found: FoundGrant, request: PictureRequest, note: Note) -> _Found:
        """Find the variant; the original where there is none, or none yet."""
        grant, variant = found.grant, request.variant
        known = None if variant.is_original else await self._variants.find(grant, variant, request.client)
        if known is not None and isinstance(known.entry, Picture):
            return _Found(known.entry, known.source, collapsed=False, variant=variant)
        self._check_refused(grant)
        is_new = found.source is Source.UPSTREAM
        body, source, collapsed = await self._pictures.find(grant, request.client, found.key, is_new=is_new)
        is_stale = source is Source.STALE
        if variant.is_original or known is not None:
            return _Found(body, source, collapsed, ORIGINAL, is_stale)
        whole = await body.whole() if isinstance(body, StreamBuffer) else body
        source = body.source if isinstance(body, StreamBuffer) else source
        await _note_version(found, whole, whole.head, source, note)
        made = await self._variants.make(whole, variant, request.client)
        if isinstance(made, Picture):
            return _Found(made, source, collapsed, variant, is_stale)
        return _Found(whole, source, collapsed, ORIGINAL, is_interim=is_stale or made is None)

    def _noting(self, found: FoundGrant, note: Note) -> Note:
        async def noted(grant: Grant, version: str) -> None:
            self._pictures.show(found.key, grant.picture, version)
            await note(grant, version)

        return noted

    def remaining_s(self, grant: Grant) -> float:
        """Tell how many seconds are left of a grant, by Cloudreve's clock."""
        return grant.remaining_s(self._clock.now())


async def _note_version(
    found: FoundGrant, body: Picture | StreamBuffer, head: PictureHead, source: Source, note: Note
) -> None:
    """Take note of the version of a foreign picture, with its last byte where it is not known before."""
    grant = found.grant
    if grant.own or source is Source.STALE:
        return
    if head.version not in ("", grant.version):
        await note(grant, head.version)
    elif not head.version and isinstance(body, StreamBuffer):
        body.when_whole(found.key or grant.url, lambda whole: note(grant, whole.version))


def _etag(grant: Grant, version: str, variant: Variant) -> str | None:
    """Name what the visitor sees; of Cloudreve's own pictures it is known before anything of them is."""
    if grant.own:
        return etag(grant.picture, variant=variant)
    return etag(grant.picture, version, variant) if version else None
