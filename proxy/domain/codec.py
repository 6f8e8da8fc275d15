"""Entries as bytes for the shared tier: versioned msgpack. What cannot be read is no entry, never an error."""

from __future__ import annotations

import re
from math import isfinite
from typing import TypeAlias, assert_never

import msgspec

from proxy.domain.entry import Entry
from proxy.domain.grant import Grant
from proxy.domain.grant_stamp import GrantStamp
from proxy.domain.picture import NoVariant, Picture
from proxy.domain.picture_info import Look, PictureInfo
from proxy.domain.refusal import Refusal, RefusalKind
from proxy.domain.sniff import MEDIA_TYPES

MAX_TEXT_CHARS = 200
"""How long a refusal's texts are at most."""
VERSION = 4
"""Raise it with every change of shape: replicas of two versions then share no entry instead of misreading one."""


class _Grant(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=f"grant/{VERSION}"):
    url: str
    fresh_until: float
    picture: str
    own: bool
    version: bytes
    granted_at: float
    stamp: GrantStamp


class _Refusal(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=f"refusal/{VERSION}"):
    kind: RefusalKind
    code: int
    correlation_id: str
    message: str
    asked_at: float
    stamp: GrantStamp


class _Picture(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=f"picture/{VERSION}"):
    id: str
    media_type: str
    version: bytes
    body: bytes


class _NoVariant(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=f"no_variant/{VERSION}"):
    id: str
    version: bytes
    is_final: bool


class _Info(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag=f"info/{VERSION}"):
    id: str
    version: bytes
    etag: str
    media_type: str
    length_bytes: int
    look: tuple[int, int, bytes, str] | None
    is_final: bool


_Written: TypeAlias = _Grant | _Refusal | _Picture | _NoVariant | _Info

_ETAG = re.compile(r'"[0-9a-f]{40}"')
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_Written] = msgspec.msgpack.Decoder(_Written)


def encode(entry: Entry) -> bytes:
    """Write an entry, its kind and version first. A picture's body is copied once, into the result."""
    match entry:
        case Grant():
            times = entry.granted_at, entry.stamp
            return _encoder.encode(
                _Grant(entry.url, entry.fresh_until, entry.picture, entry.own, _raw(entry.version), *times)
            )
        case Refusal():
            times = entry.asked_at, entry.stamp
            return _encoder.encode(_Refusal(entry.kind, entry.code, entry.correlation_id, entry.message, *times))
        case Picture():
            return _encoder.encode(_Picture(entry.id, entry.media_type, _raw(entry.version), entry.body))
        case NoVariant():
            return _encoder.encode(_NoVariant(entry.id, _raw(entry.version), entry.is_final))
        case PictureInfo():
            return _encoder.encode(_written_info(entry))
        case _:
            assert_never(entry)


def decode(raw: bytes) -> Entry | None:
    """Read an entry; None for anything that no gateway of this version writes: garbage, another shape, no picture."""
    try:
        entry = _entry(_decoder.decode(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return entry if _is_sound(entry) else None


def _is_sound(entry: Entry) -> bool:
    """Tell whether a gateway may have written this: others may write to the store as well."""
    match entry:
        case Grant():
            return isfinite(entry.fresh_until) and isfinite(entry.granted_at)
        case Refusal():
            is_short = max(len(entry.message), len(entry.correlation_id)) <= MAX_TEXT_CHARS
            return isfinite(entry.asked_at) and is_short and entry.correlation_id.isprintable()
        case Picture():
            return entry.media_type in MEDIA_TYPES
        case NoVariant():
            return True
        case PictureInfo():
            is_sound = entry.look is None or entry.look.is_sound
            return is_sound and entry.media_type in MEDIA_TYPES and _ETAG.fullmatch(entry.etag) is not None


def _entry(written: _Written) -> Entry:
    match written:
        case _Grant():
            return Grant(
                written.url,
                written.fresh_until,
                written.picture,
                written.own,
                _text(written.version),
                written.granted_at,
                written.stamp,
            )
        case _Refusal():
            times = written.asked_at, written.stamp
            return Refusal(written.kind, written.code, written.correlation_id, written.message, *times)
        case _Picture():
            return Picture(written.id, written.media_type, _text(written.version), written.body)
        case _NoVariant():
            return NoVariant(written.id, _text(written.version), written.is_final)
        case _Info():
            return _info(written)
        case _:
            assert_never(written)


def _written_info(info: PictureInfo) -> _Info:
    look = info.look
    written = (look.width, look.height, look.thumb_hash, look.average_colour) if look is not None else None
    version = _raw(info.version)
    return _Info(info.id, version, info.etag, info.media_type, info.length_bytes, written, info.is_final)


def _info(written: _Info) -> PictureInfo:
    look = Look(*written.look) if written.look is not None else None
    version = _text(written.version)
    return PictureInfo(
        written.id, version, written.etag, written.media_type, written.length_bytes, look, written.is_final
    )


def _raw(version: str) -> bytes:
    """Upstream's ETag may hold bytes that are no UTF-8; a header carries them as lone surrogates (PEP 383)."""
    return version.encode("utf-8", "surrogatepass")


def _text(version: bytes) -> str:
    return version.decode("utf-8", "surrogatepass")
