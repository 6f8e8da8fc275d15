"""Tries every format on a picture: what this installation can make of it, how small, and how well it is locked up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from proxy.coalesce.fair_queue import FairQueue
from proxy.doctor.finding import Finding, Verdict
from proxy.domain.variant import Format, Variant
from proxy.observe.span import Observer
from proxy.pictures.encoders import PROGRAM, EncodeFailed, Encoders
from proxy.settings import PictureSettings

SUBJECT = "formats"


async def examine_formats(body: bytes, settings: PictureSettings, program: Sequence[str] = PROGRAM) -> list[Finding]:
    """Encode as the gateway does; one finding for each format, and one for the process that does it."""
    encoders = Encoders(FairQueue(1, 1), settings, Observer(), program)
    try:
        with suppress(EncodeFailed):  # not to be timed: the process starts
            await encoders.encode(body, Variant(Format.WEBP), "", "start")
        findings = [await _tried(encoders, body, format_, settings) for format_ in Format]
        return [*findings, *_confined(encoders.pids)]
    finally:
        await encoders.aclose()


async def _tried(encoders: Encoders, body: bytes, format_: Format, settings: PictureSettings) -> Finding:
    is_offered, started = format_ in settings.formats, time.perf_counter()
    offered = "offered" if is_offered else "not in pictures.formats"
    try:
        made = await encoders.encode(body, Variant(format_), "", format_)
    except EncodeFailed as error:
        verdict = Verdict.ADVICE if is_offered else Verdict.OK
        return Finding(verdict, SUBJECT, f"No {format_} of this picture ({error}): it is shown as it came; {offered}.")
    taken_ms, part = (time.perf_counter() - started) * 1000, 100 * len(made) / len(body)
    text = f"{format_}, {offered}: {len(made)} of {len(body)} bytes ({part:.0f} %) in {taken_ms:.0f} ms."
    return Finding(Verdict.OK, SUBJECT, text)


def _confined(pids: Sequence[int]) -> list[Finding]:
    """Say whether system calls are filtered, where the kernel tells."""
    for pid in pids:
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            if "Seccomp:\t2" in status:
                return [Finding(Verdict.OK, "encoders", "They may compute, and nothing else (seccomp).")]
            text = "Limits alone confine them. libseccomp does more: on Debian and Ubuntu apt-get install libseccomp2"
            return [Finding(Verdict.ADVICE, "encoders", text)]
    return []
