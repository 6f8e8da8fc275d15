"""Values that others may read or write: unreadable, good under their own name only, and openable with older secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.value_seal import ValueSeal

OLD, NEW = "an old secret of the right length", "a new secret of the right length!"
SEAL = ValueSeal([OLD])


@given(st.text(max_size=60), st.binary(max_size=500))
def test_a_sealed_value_opens_under_its_name(name: str, value: bytes) -> None:
    sealed = SEAL.seal(name, value)
    assert SEAL.open(name, sealed) == value
    assert SEAL.seal(name, value) != sealed
    assert len(value) < 8 or value not in sealed


@given(st.data())
def test_a_value_with_any_changed_byte_does_not_open(drawn: st.DataObject) -> None:
    sealed = bytearray(SEAL.seal("a", b"a value"))
    sealed[drawn.draw(st.integers(0, len(sealed) - 1))] ^= 1 << drawn.draw(st.integers(0, 7))
    assert SEAL.open("a", bytes(sealed)) is None


@pytest.mark.parametrize("cut", [0, 1, 4, 16, 31, 32, -1])
def test_a_part_does_not_open(cut: int) -> None:
    assert SEAL.open("a", SEAL.seal("a", b"a value")[:cut]) is None


def test_a_value_is_good_under_one_name() -> None:
    assert SEAL.open("b", SEAL.seal("a", b"a value")) is None


def test_secrets_are_rotated() -> None:
    """The first seals, all open; a secret that is gone opens nothing."""
    both = ValueSeal([NEW, OLD])
    assert both.open("a", SEAL.seal("a", b"a value")) == b"a value"
    assert ValueSeal([NEW]).open("a", both.seal("a", b"a value")) == b"a value"
    assert ValueSeal([NEW]).open("a", SEAL.seal("a", b"a value")) is None


def test_without_secrets_values_stay_as_they_are() -> None:
    """And what is sealed is then unreadable rather than an error."""
    assert ValueSeal().seal("a", b"a value") == b"a value"
    assert ValueSeal().open("a", b"a value") == b"a value"
