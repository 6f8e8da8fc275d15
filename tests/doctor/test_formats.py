"""The check of formats: those that can be made, the bytes that they save, and those that do not work here."""

from __future__ import annotations

import sys

import pytest

from proxy.doctor.finding import Verdict
from proxy.doctor.formats import examine_formats
from proxy.pictures.syscall_filter import syscall_filter
from proxy.settings import PictureSettings
from tests.pictures.photographs import photograph, saved

BODY = saved(photograph(), "PNG")


async def test_every_format_is_tried_on_the_picture() -> None:
    """With what it takes of the original; the settings say which are offered."""
    webp, avif, encoders = await examine_formats(BODY, PictureSettings())
    assert (webp.verdict, avif.verdict) == (Verdict.OK, Verdict.OK)
    assert webp.text.startswith("webp, offered: ")
    assert avif.text.startswith("avif, not in pictures.formats: ")
    assert f"of {len(BODY)} bytes" in webp.text
    assert (encoders.verdict is Verdict.OK) == (syscall_filter() is not None)


async def test_a_picture_that_cannot_be_encoded_is_advice_where_its_format_is_offered() -> None:
    body = saved(photograph(), "GIF", save_all=True, append_images=[photograph(seed=2)])
    webp, avif, _ = await examine_formats(body, PictureSettings())
    assert (webp.verdict, avif.verdict) == (Verdict.ADVICE, Verdict.OK)
    assert "animated" in webp.text


@pytest.mark.parametrize("program", ["raise SystemExit", "import time; time.sleep(1000)"])
async def test_an_encoder_that_crashes_or_hangs_ends_no_check(program: str) -> None:
    settings = PictureSettings(encode_timeout_s=0.2)
    webp, _ = await examine_formats(BODY, settings, (sys.executable, "-c", program))
    assert webp.verdict is Verdict.ADVICE
    assert "crash" in webp.text or "timeout" in webp.text
