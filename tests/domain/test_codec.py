"""The codec: what goes in comes out, and what it did not write itself is no entry."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.domain.codec import VERSION, decode, encode
from proxy.domain.entry import Entry
from proxy.domain.grant import Grant
from proxy.domain.grant_stamp import GrantStamp
from proxy.domain.picture import NoVariant, Picture
from proxy.domain.picture_info import Look, PictureInfo
from proxy.domain.refusal import Refusal, RefusalKind
from proxy.domain.sniff import MEDIA_TYPES

texts = st.text(max_size=40)
names = st.from_regex(r"[A-Za-z0-9-]{0,64}", fullmatch=True)
etags = st.text(st.characters(exclude_categories=()), max_size=40)
floats = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.integers(0, 2**62)
stamps = st.builds(GrantStamp, st.binary(max_size=8), numbers, names, numbers)
grants = st.builds(Grant, texts, floats, texts, st.booleans(), etags, floats, stamps)
codes = st.integers(-(2**63), 2**63 - 1)
refusals = st.builds(Refusal, st.sampled_from(RefusalKind), codes, names, texts, floats, stamps)
pictures = st.builds(Picture, texts, st.sampled_from(sorted(MEDIA_TYPES)), etags, st.binary(max_size=300))
no_variants = st.builds(NoVariant, texts, etags, st.booleans())
sides = st.integers(1, 2**31)
looks = st.builds(
    Look, sides, sides, st.binary(min_size=5, max_size=25), st.from_regex(r"#[0-9a-f]{6}", fullmatch=True)
)
tags = st.from_regex(r'"[0-9a-f]{40}"', fullmatch=True)
kinds = st.sampled_from(sorted(MEDIA_TYPES))
infos = st.builds(PictureInfo, texts, etags, tags, kinds, st.integers(0, 2**40), st.none() | looks, st.booleans())
entries: st.SearchStrategy[Entry] = st.one_of(grants, refusals, pictures, no_variants, infos)

STAMP = GrantStamp(b"\xfforigi", 7, "redis", 2**60)
GRANT = Grant("https://cloud.example.com/x?sign=y", 1795000000.5, "ab12", False, '"v1"', 1.5, STAMP)
REFUSAL = Refusal(RefusalKind.NOT_FOUND, 40016, "0d3cbb4c", "Path not exist", 1.0, STAMP)
NO_VARIANT = NoVariant("ab12.webp", '"v1"', is_final=True)
TAG = f'"{"ab" * 20}"'
LOOK = Look(400, 300, b"12345", "#7a8fb2")
INFO = PictureInfo("ab12.info", '"v1"', TAG, "image/webp", 12_000, LOOK, is_final=True)
PICTURE = Picture("ab12", "image/png", 'W/"\udcff"', bytes(range(256)) * 4)


@given(entries)
@example(GRANT)
@example(REFUSAL)
@example(PICTURE)
@example(NO_VARIANT)
@example(INFO)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x80")
@example(b"\xc1")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
@example(b"\x91" * 100_000)
@example(b"\x80\x04N.")
@example(b'{"url": ""}')
def test_garbage_is_no_entry(raw: bytes) -> None:
    """Whatever bytes lie in Redis: no exception, at most an entry that encodes to something again."""
    entry = decode(raw)
    assert entry is None or isinstance(entry, Grant | Refusal | Picture | NoVariant | PictureInfo)


@given(entries, st.data())
def test_a_truncated_entry_is_no_entry(entry: Entry, data: st.DataObject) -> None:
    raw = encode(entry)
    assert decode(raw[: data.draw(st.integers(0, len(raw) - 1))]) is None
    assert decode(raw + b"\x00") is None


@given(entries, st.data())
def test_a_flipped_byte_never_raises(entry: Entry, data: st.DataObject) -> None:
    raw = bytearray(encode(entry))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    decode(bytes(raw))


GOOD: dict[str, list[object]] = {
    "grant": [f"grant/{VERSION}", "u", 1.0, "p", True, b"", 1.0, [b"o", 1, "l", 1]],
    "refusal": [f"refusal/{VERSION}", "not_found", 40016, "c", "m", 1.0, [b"o", 1, "l", 1]],
    "novariant": [f"no_variant/{VERSION}", "id", b"", True],
    "pictureinfo": [f"info/{VERSION}", "id", b"", TAG, "image/webp", 1, [400, 300, b"12345", "#7a8fb2"], True],
    "picture": [f"picture/{VERSION}", "id", "image/png", b"", b"body"],
}


def changed(kind: str, place: int, *values: object) -> list[object]:
    """Put other values into one place of a good entry."""
    return GOOD[kind][:place] + list(values) + GOOD[kind][place + 1 :]


@pytest.mark.parametrize("kind", GOOD)
def test_the_shapes_below_are_wrong_in_one_place_only(kind: str) -> None:
    assert decode(msgspec.msgpack.encode(GOOD[kind])) is not None


@pytest.mark.parametrize(
    "values",
    [
        changed("grant", 0, f"grant/{VERSION + 1}"),
        changed("grant", 0, "grant/0"),
        changed("grant", 0, "grant"),
        changed("grant", 0, VERSION),
        changed("grant", 0, f"picture/{VERSION}"),
        changed("grant", 0),
        changed("grant", 1, None),
        changed("grant", 2, "1.0"),
        changed("grant", 4, 1),
        changed("grant", 5, b"\xff"),
        changed("grant", 6),
        changed("grant", 6, 1.0, "more"),
        changed("refusal", 1, "gone"),
        changed("refusal", 2, 1.5),
        changed("grant", 7),
        changed("grant", 7, [b"o", "1", "l", 1]),
        changed("refusal", 6, [b"o", -1.5, "l", 1]),
        changed("picture", 4, "text"),
        changed("picture", 4, None),
        changed("novariant", 3, "yes"),
        changed("pictureinfo", 3, '"x"\r\nX: y'),
        changed("pictureinfo", 4, "text/html"),
        changed("pictureinfo", 6, [0, 300, b"12345", "#7a8fb2"]),
        changed("pictureinfo", 6, [400, 300, b"", "#7a8fb2"]),
        changed("pictureinfo", 6, [400, 300, bytes(26), "#7a8fb2"]),
        changed("pictureinfo", 6, [400, 300, b"12345", "red"]),
        [],
        None,
        {"type": f"refusal/{VERSION}", "kind": "not_found"},
    ],
)
def test_another_version_or_shape_is_no_entry(values: object) -> None:
    """Two versions of the gateway may share one Redis while it is being updated."""
    assert decode(msgspec.msgpack.encode(values)) is None


def test_text_that_is_no_utf8_is_no_entry() -> None:
    """Not even where all else is right."""
    stamp = b"\x94\xc4\x00\x00\xa0\x00"
    raw = b"\x97\xa9refusal/4\xa9not_found\x01\xa1\xff\xa0\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00" + stamp
    assert decode(raw) is None
    assert decode(raw.replace(b"\xff", b"x")) is not None


def test_an_entry_written_by_this_version_keeps_its_bytes() -> None:
    """Changing the shape without raising VERSION breaks this, on purpose."""
    raw = (
        b"\x97\xa9refusal/4\xa9not_found\xcd\x9c\x50\xa80d3cbb4c\xaePath not exist\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"
        b"\x94\xc4\x06\xfforigi\x07\xa5redis\xcf\x10\x00\x00\x00\x00\x00\x00\x00"
    )
    assert encode(REFUSAL) == raw
    assert decode(raw) == REFUSAL


@pytest.mark.parametrize("entry", [GRANT, REFUSAL, PICTURE, NO_VARIANT, INFO], ids=repr)
def test_no_field_of_an_entry_is_left_out(entry: Entry) -> None:
    """A field that the model gains has to be written here as well, and the strategies above have to vary it."""
    for field in fields(entry):
        assert getattr(entry, field.name) != field.default, "the example must use every field"
    assert len(GOOD[type(entry).__name__.lower()]) - 1 == len(fields(entry))
    assert decode(encode(entry)) == entry


def test_a_body_is_copied_once_each_way() -> None:
    """A 10 MiB picture costs 10 MiB more while it is written or read, not a multiple of it."""
    size = 10 * 1024 * 1024
    picture = Picture("ab12", "image/png", "", bytes(size))
    tracemalloc.start()
    try:
        raw = encode(picture)
        assert tracemalloc.get_traced_memory()[1] < 1.6 * size
        tracemalloc.reset_peak()
        entry = decode(raw)
        assert tracemalloc.get_traced_memory()[1] < 2.6 * size
    finally:
        tracemalloc.stop()
    assert isinstance(entry, Picture)
    assert type(entry.body) is bytes
    assert entry.body == picture.body
