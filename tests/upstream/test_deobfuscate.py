"""Obfuscated URLs: all recorded vectors, and whatever an encoder written after the contract makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.domain.errors import UpstreamError
from proxy.upstream.deobfuscate import MAX_CHARACTERS, deobfuscate

FACTS = Path(__file__).parents[1] / "facts" / "obfuscation.json"
VECTORS: list[dict[str, Any]] = json.loads(FACTS.read_text(encoding="utf-8"))
URL = "https://cloud.example.com/api/v4/file/content/3acW/0/sunset.jpg.jpg?sign=DG5XpY%3D%3A1795438287"
NOW = 1_795_438_287.5


def obfuscate(url: str, at: float) -> str:
    """Do what the server does (docs/cloudreve.md, Obfuscation), one character after the other."""
    key = int(at // 1000)
    digits = [int(digit) for digit in str(key)][::-1]
    made: list[str] = []
    for t, character in enumerate(f"{key}|{url}"):
        made.append(character)
        i = t % len(digits)
        d = digits[i]
        k = abs(2 * i * d - t) % (t + 1) if t % 2 == 0 else abs(t + d * i) % (t + 1)
        made[t], made[k] = made[k], made[t]
    return "".join(made)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"key {vector['key']}")
def test_recorded_vectors_are_decoded(vector: dict[str, Any]) -> None:
    """The published one and those of an independent encoder."""
    assert deobfuscate(vector["obfuscated"], vector["at"]) == vector["url"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"key {vector['key']}")
def test_the_encoder_of_these_tests_makes_the_vectors(vector: dict[str, Any]) -> None:
    """So that the properties below speak about the real thing."""
    assert obfuscate(vector["url"], vector["key"] * 1000) == vector["obfuscated"]


@given(st.text(max_size=400), st.integers(10**9, 10**11), st.sampled_from([-1000, 0, 1000]))
@example(URL, 1_795_438_287, 0)
@example("", 1_795_438_000, -1000)
@example("|", 1_799_999_999, 1000)
def test_any_obfuscated_text_is_found_again(url: str, now: int, skew: int) -> None:
    """Signed in this span of 1000 seconds, the one before or the one after."""
    assert deobfuscate(obfuscate(url, now + skew), now) == url


@pytest.mark.parametrize("skew", [-2000, 2000, 86_400])
def test_another_clock_gives_no_url(skew: int) -> None:
    with pytest.raises(UpstreamError, match="clock"):
        deobfuscate(obfuscate(URL, NOW + skew), NOW)


@given(st.text(max_size=200), st.integers(1000, 10**11))
@example("", 1000)
@example("|", 1000)
@example("0|", 1000)
@example(URL, 1_795_438_287)
def test_rubbish_is_refused_or_carries_its_key(text: str, now: int) -> None:
    try:
        url = deobfuscate(text, now)
    except UpstreamError:
        return
    assert any(obfuscate(url, now + skew) == text for skew in (0, -1000, 1000))


def test_a_text_beyond_the_bound_is_not_even_looked_at() -> None:
    url = "x" * (MAX_CHARACTERS - len("1795438|"))
    assert deobfuscate(obfuscate(url, NOW), NOW) == url
    with pytest.raises(UpstreamError, match="too long"):
        deobfuscate(obfuscate(url + "x", NOW), NOW)


def test_a_message_never_repeats_the_text() -> None:
    """A signed URL is a key to the picture, obfuscated or not."""
    for text in ("hunter2" * 3, "hunter2" * MAX_CHARACTERS):
        with pytest.raises(UpstreamError) as caught:
            deobfuscate(text, NOW)
        assert "hunter2" not in str(caught.value)
