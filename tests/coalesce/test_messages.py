"""Messages by which processes tell each other of work that is done."""

from __future__ import annotations

import pytest

from proxy.coalesce.messages import DONE, Message, Whole, decode, encode, seen


@pytest.mark.parametrize(
    "message", [DONE, Whole(b""), Whole(bytes(range(256))), seen(""), seen('W/"1"'), seen('"\udcff"')], ids=repr
)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert decode(encode(message)) == message


def test_versions_that_differ_are_told_apart() -> None:
    """Else a picture that has changed would be shown."""
    assert len({encode(message) for message in (seen('"1"'), seen('W/"1"'), Whole(b'"1"'), DONE)}) == 4


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"seen",
        b"\x92\xa4seen",
        b"\x92\xa5other\xc4\x00",
        b"\x92\xa4seen\x01",
        b"\x92\xa5\xff\xff\xff\xff\xff\xc4\x00",
        b"\x93\xa4seen\xc4\x00" + 10_000 * b"\x91" + b"\xc0",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_bytes_of_another_shape_are_no_message(data: bytes) -> None:
    """Another version of the gateway may have written it, or a stranger: a name that is no text, lists without end."""
    assert decode(data) is None
