"""Answers of `/thumb/info`, in JSON: one member of `pictures` for each URI, in their order."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import msgspec

from proxy.domain.errors import Busy, ProxyError, StillGenerating
from proxy.domain.fields import Fields
from proxy.domain.identity import Identity
from proxy.domain.picture_info import PictureInfo
from proxy.domain.response_fields import SAFETY, VARY, Handling, picture_fields, problem
from proxy.pictures.answer import InfoAnswer

PENDING_S = 1
"""After how many seconds a page asks again for what was not known yet."""
PENDING = (Busy, StillGenerating)
"""Errors that end by themselves."""

Known: TypeAlias = InfoAnswer | ProxyError | None
"""The facts about one URI; None while they are being found out."""


class _Ready(msgspec.Struct, frozen=True):
    uri: str
    width: int | None
    height: int | None
    media_type: str
    etag: str
    length: int
    thumbhash: str | None
    average_colour: str | None
    status: int = 200


class _Pending(msgspec.Struct, frozen=True):
    uri: str
    retry_after_s: int = PENDING_S
    status: int = 202


class _Refused(msgspec.Struct, frozen=True, omit_defaults=True):
    uri: str
    status: int
    problem: msgspec.Raw
    retry_after_s: int | None = None


class _Body(msgspec.Struct, frozen=True):
    pictures: list[_Ready | _Pending | _Refused]


def body(uris: Sequence[str], known: Sequence[Known]) -> bytes:
    """Write the answer; a problem is what `/thumb` would say (RFC 9457)."""
    return msgspec.json.encode(_Body([_picture(uri, each) for uri, each in zip(uris, known, strict=True)]))


def is_pending(known: Known) -> bool:
    """Tell whether asking again in a moment brings more."""
    return known is None or isinstance(known, PENDING)


def least_public(known: Sequence[Known]) -> Identity | None:
    """Give the identity that the most private of the shown pictures is shown to; None where none is shown."""
    identities = [each.identity for each in known if isinstance(each, InfoAnswer)]
    return min(identities, key=lambda identity: identity.is_public, default=None)


def fields(known: Sequence[Known], etag: str) -> Fields:
    """Make the header fields: as of a picture where all are known, else nobody keeps the answer."""
    shown = [each for each in known if isinstance(each, InfoAnswer)]
    identity = least_public(shown)
    if identity is None or len(shown) < len(known):
        again: Fields = (("Retry-After", str(PENDING_S)),) if any(map(is_pending, known)) else ()
        return (("Cache-Control", "no-store"), ("Vary", VARY), *SAFETY, *again)
    return picture_fields(identity, etag, min(each.remaining_s for each in shown), _handling(shown))


def _handling(shown: Sequence[InfoAnswer]) -> Handling:
    """Sum up how the answers came about."""
    first = min((each.handling for each in shown), key=lambda handling: handling.is_hit)
    return replace(
        first,
        asks_again=any(each.handling.asks_again for each in shown),
        is_interim=any(each.handling.is_interim for each in shown),
        browser_s=min(each.handling.browser_s for each in shown),
    )


def _picture(uri: str, known: Known) -> _Ready | _Pending | _Refused:
    if known is None or isinstance(known, PENDING):
        return _Pending(uri)
    if isinstance(known, ProxyError):
        return _Refused(uri, int(known.status), msgspec.Raw(problem(known)), known.retry_after_s)
    return _ready(uri, known.info)


def _ready(uri: str, info: PictureInfo) -> _Ready:
    look = info.look
    return _Ready(
        uri,
        look.width if look else None,
        look.height if look else None,
        info.media_type,
        info.etag,
        info.length_bytes,
        b64encode(look.thumb_hash).decode() if look else None,
        look.average_colour if look else None,
    )
