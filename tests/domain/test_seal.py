"""The seal: what was sealed comes back, and nothing else opens."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.domain.errors import BadSeal
from proxy.domain.seal import MAX_PAYLOAD_BYTES, Purpose, Sealer

OLD, NEW = "old-" + "0123456789abcdef" * 2, "new-" + "0123456789abcdef" * 2
SEALER = Sealer([NEW])
TEXT = SEALER.seal(Purpose.URL, b"a grant")

purposes = st.sampled_from(Purpose)


@given(purposes, st.binary(max_size=300))
@example(Purpose.URL, b"")
@example(Purpose.URL, b"x" * MAX_PAYLOAD_BYTES)
def test_a_sealed_text_opens(purpose: Purpose, payload: bytes) -> None:
    assert SEALER.open(purpose, SEALER.seal(purpose, payload)) == payload


@given(st.binary(max_size=100))
def test_one_payload_has_one_text_on_every_replica(payload: bytes) -> None:
    """A browser caches by URL, so that the same grant has to give the same URL, whoever is asked."""
    assert Sealer([NEW]).seal(Purpose.URL, payload) == Sealer([NEW, OLD]).seal(Purpose.URL, payload)


def test_a_text_is_fit_for_a_url_and_a_cookie() -> None:
    """Letters, digits, hyphen and underscore need no escape anywhere."""
    for n in range(64):
        assert set(SEALER.seal(Purpose.URL, bytes([n]) * n)) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        )


def test_a_text_shows_nothing_of_its_payload() -> None:
    """Payloads with a long common beginning have nothing in common once sealed, but for the key's name."""
    one, two = (SEALER.seal(Purpose.URL, b"cloudreve://my/" * 20 + end) for end in (b"1", b"2"))
    assert one[:5] == two[:5]
    assert sum(a == b for a, b in zip(one, two, strict=True)) < len(one) / 4


def test_the_largest_payload_fits_into_a_request_line_of_8_kib() -> None:
    text = SEALER.seal(Purpose.URL, b"x" * MAX_PAYLOAD_BYTES)
    assert len(f"GET /thumb/s/{text} HTTP/1.1\r\n") < 8192
    with pytest.raises(ValueError, match="too much"):
        SEALER.seal(Purpose.URL, b"x" * (MAX_PAYLOAD_BYTES + 1))


@pytest.mark.parametrize("place", range(len(TEXT)))
def test_a_text_with_one_character_changed_does_not_open(place: int) -> None:
    """Not even where a lenient decoder would drop the bits that differ."""
    for other in "Ax_-09":
        if other != TEXT[place]:
            with pytest.raises(BadSeal):
                SEALER.open(Purpose.URL, TEXT[:place] + other + TEXT[place + 1 :])


@given(st.text(max_size=60) | st.text("ABCabc012-_", max_size=60))
@example("")
@example("A")
@example("é")
@example("A" * 5)
@example("A" * 27)
@example("=" * 40)
@example("A" * 10**6)
@example("\ud800" * 40)
def test_garbage_does_not_open(text: str) -> None:
    with pytest.raises(BadSeal):
        SEALER.open(Purpose.URL, text)


@pytest.mark.parametrize(
    "text",
    [TEXT[:-1], TEXT[:-4], TEXT + "A", TEXT + "=", TEXT + "\n", " " + TEXT, TEXT[:8] + "\n" + TEXT[8:], TEXT * 2],
    ids=["one less", "four less", "one more", "padded", "newline", "blank", "newline inside", "twice"],
)
def test_another_spelling_of_a_text_does_not_open(text: str) -> None:
    """One grant, one URL: caches on the way would take each spelling for another picture."""
    with pytest.raises(BadSeal):
        SEALER.open(Purpose.URL, text)


@given(purposes, purposes)
def test_a_text_sealed_for_one_purpose_opens_for_no_other(sealed: Purpose, opened: Purpose) -> None:
    text = SEALER.seal(sealed, b"payload")
    if sealed is not opened:
        with pytest.raises(BadSeal):
            SEALER.open(opened, text)


def test_keys_can_be_rotated() -> None:
    """The first seals, all open; what a dropped key has sealed is lost."""
    before, during, after = Sealer([OLD]), Sealer([NEW, OLD]), Sealer([NEW])
    old = before.seal(Purpose.URL, b"payload")
    assert during.open(Purpose.URL, old) == b"payload"
    assert after.open(Purpose.URL, during.seal(Purpose.URL, b"payload")) == b"payload"
    with pytest.raises(BadSeal):
        after.open(Purpose.URL, old)


def test_the_name_of_a_key_says_nothing_about_another() -> None:
    """With a key's name in front, what another key has sealed is still refused."""
    old = Sealer([OLD]).seal(Purpose.URL, b"payload")
    with pytest.raises(BadSeal):
        SEALER.open(Purpose.URL, TEXT[:5] + old[5:])


def test_a_sealer_needs_a_secret() -> None:
    with pytest.raises(ValueError, match="secret"):
        Sealer([])


def test_nothing_of_a_secret_is_shown() -> None:
    """Not by printing the sealer, nor what it complains about."""
    with pytest.raises(BadSeal) as caught:
        SEALER.open(Purpose.URL, "A" * 40)
    assert NEW not in repr(SEALER) + repr(caught.value)
    assert "AAAA" not in repr(caught.value)


def test_this_version_keeps_its_texts() -> None:
    """Replicas of two versions share URLs and cookies while they are being updated: a change must be on purpose."""
    text = Sealer(["0123456789abcdef" * 2]).seal(Purpose.URL, b"payload")
    assert text == "xKF58ZwmeqtRD1hNB1fPu4ERiRAZHSyYCLXk"
