"""The content of a sealed URL: a grant, its identity, and its key in the tiers."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from proxy.domain.file_uri import FileUri
from proxy.domain.grant import Grant
from proxy.domain.grant_stamp import GrantStamp
from proxy.domain.identity import Identity, IdentityKind
from proxy.domain.keys import grant_key
from proxy.domain.tags import TAG_BYTES, Tag

VERSION = 2
"""Raise it with every change of shape: texts of another version are then refused, instead of misread."""

_PLACE = "g:"


@dataclass(frozen=True, slots=True)
class SealedGrant:
    """A grant as it is sealed into a URL. The File URI, which may hold a password, is in it as a digest only."""

    identity: Identity
    place: str
    """The grant's key in the tiers, which binds the File URI to the identity."""
    grant: Grant
    tags: tuple[Tag, ...] = ()
    """The tags that the grant rests on."""


class _Written(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=VERSION):
    site: str
    kind: IdentityKind
    subject: str
    client: str
    scopes: tuple[str, ...]
    fields: str
    place: bytes
    url: str
    fresh_until: float
    picture: bytes
    own: bool
    stamp: GrantStamp
    tags: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Written)


def sealed_grant(identity: Identity, uri: FileUri, grant: Grant, tags: tuple[Tag, ...] = ()) -> SealedGrant:
    """Make the content from a grant: without the fields that change while it lives, so that its URL stays the same."""
    travelling = Grant(grant.url, grant.fresh_until, grant.picture, grant.own, stamp=grant.stamp)
    return SealedGrant(identity, grant_key(identity, uri), travelling, tags)


def encode(sealed: SealedGrant, site: str) -> bytes:
    """Write it for one Cloudreve site, the same each time."""
    who, grant = sealed.identity, sealed.grant
    written = _Written(
        site=site,
        kind=who.kind,
        subject=who.subject,
        client=who.client,
        scopes=who.scopes,
        fields=who.fields,
        place=bytes.fromhex(sealed.place.removeprefix(_PLACE)),
        url=grant.url,
        fresh_until=grant.fresh_until,
        picture=bytes.fromhex(grant.picture),
        own=grant.own,
        stamp=grant.stamp,
        tags=b"".join(sealed.tags),
    )
    return _encoder.encode(written)


def decode(raw: bytes, site: str) -> SealedGrant | None:
    """Read a content; None for one of another site, where the same picture's name is another picture's."""
    try:
        written = _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if written.site != site:
        return None
    identity = Identity(written.kind, written.subject, written.client, written.scopes, written.fields)
    grant = Grant(written.url, written.fresh_until, written.picture.hex(), written.own, stamp=written.stamp)
    tags = tuple(written.tags[at : at + TAG_BYTES] for at in range(0, len(written.tags), TAG_BYTES))
    return SealedGrant(identity, _PLACE + written.place.hex(), grant, tags)
