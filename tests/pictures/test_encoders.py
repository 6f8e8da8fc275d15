"""Encoder processes: they crash, hang and run out of memory without harm, and can do nothing but encode."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path

import pytest
import uvloop
from PIL import Image

from proxy.coalesce.fair_queue import FairQueue
from proxy.domain.variant import Format, Variant
from proxy.observe.span import Observer
from proxy.pictures.encoders import PROGRAM, EncodeFailed, Encoders
from proxy.pictures.syscall_filter import syscall_filter
from proxy.settings import PictureSettings
from tests.harness.gateways import until
from tests.pictures.photographs import opened, photograph, saved

WEBP = Variant(Format.WEBP)
BODY = saved(photograph(), "PNG")


@asynccontextmanager
async def running(program: Sequence[str] = PROGRAM, **settings: object) -> AsyncIterator[Encoders]:
    encoders = Encoders(FairQueue(1, 10), PictureSettings.model_validate(settings), Observer(), program)
    try:
        yield encoders
    finally:
        await encoders.aclose()


def is_alive(pid: int) -> bool:
    """Tell whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


async def test_variants_are_encoded_by_one_process() -> None:
    async with running() as encoders:
        await encoders.encode(BODY, WEBP, "client", "a")
        [pid] = encoders.pids
        for _ in range(3):
            assert opened(await encoders.encode(BODY, WEBP, "client", "a")).format == "WEBP"
        assert encoders.pids == [pid]
        assert is_alive(pid)
    assert not is_alive(pid)


async def test_a_picture_is_looked_at_by_the_same_process() -> None:
    """Bytes that are no picture fail, and the process stays."""
    async with running() as encoders:
        found = await encoders.look(BODY, "client", "a")
        assert (found.width, found.height, found.is_sound) == (400, 300, True)
        with pytest.raises(EncodeFailed):
            await encoders.look(b"no picture", "client", "a")
        await encoders.encode(BODY, WEBP, "client", "a")
        assert len(encoders.pids) == 1


async def test_a_picture_that_cannot_be_encoded_differs_from_a_crash() -> None:
    async with running() as encoders:
        for body in (b"", b"no picture", BODY[:500], b"\x89PNG\r\n\x1a\n" + bytes(100)):
            with pytest.raises(EncodeFailed) as failure:
                await encoders.encode(body, WEBP, "client", "a")
            assert str(failure.value) not in ("crash", "timeout")
        pids = encoders.pids
        await encoders.encode(BODY, WEBP, "client", "a")
        assert encoders.pids == pids


async def test_a_killed_process_is_replaced() -> None:
    async with running() as encoders:
        await encoders.encode(BODY, WEBP, "client", "a")
        [pid] = encoders.pids
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EncodeFailed, match="crash"):
            await encoders.encode(BODY, WEBP, "client", "a")
        assert await encoders.encode(BODY, WEBP, "client", "a")
        assert pid not in encoders.pids


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_process_killed_while_it_rests_costs_no_picture(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Once its end is known; before, one picture fails, and with no other error than a busy process' end."""

    async def killed(*, is_known: bool) -> list[int]:
        async with running() as encoders:
            await encoders.encode(BODY, WEBP, "client", "a")
            [pid] = encoders.pids
            os.kill(pid, signal.SIGKILL)
            if is_known:
                await until(lambda: not encoders.pids)
            with nullcontext() if is_known else suppress(EncodeFailed):
                await encoders.encode(BODY, WEBP, "client", "a")
            await encoders.encode(BODY, WEBP, "client", "a")
            return [each for each in encoders.pids if each != pid]

    with asyncio.Runner(loop_factory=loop) as runner:
        assert len(runner.run(killed(is_known=True))) == 1
        assert len(runner.run(killed(is_known=False))) == 1


async def test_a_hanging_process_is_replaced() -> None:
    """After `pictures.encode_timeout_s`, and it is gone then."""
    async with running((sys.executable, "-c", "import time; time.sleep(1000)"), encode_timeout_s=0.3) as encoders:
        with pytest.raises(EncodeFailed, match="timeout"):
            await encoders.encode(BODY, WEBP, "client", "a")
        assert not encoders.pids


async def test_a_picture_that_takes_too_much_memory_fails() -> None:
    """The bound is on the process; the gateway's own memory does not grow."""
    large = saved(Image.new("RGB", (9000, 9000)), "PNG")
    async with running(encoder_memory_bytes=256 * 1024 * 1024, max_pixels=10**9) as encoders:
        with pytest.raises(EncodeFailed):
            await encoders.encode(large, WEBP, "client", "a")
        assert await encoders.encode(BODY, WEBP, "client", "a")


async def test_fuzzed_pictures_crash_nothing() -> None:
    """Flipped and cut in many places, each is encoded or fails."""
    chance = random.Random(4)  # noqa: S311 - no secret
    kinds = [saved(photograph(60, 40), kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "AVIF")]
    reasons: list[str] = []
    async with running() as encoders:
        for number in range(300):
            body = bytearray(kinds[number % len(kinds)])
            for _ in range(chance.randint(1, 8)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            try:
                await encoders.encode(bytes(body[: chance.randint(1, len(body))]), WEBP, "client", "a")
            except EncodeFailed as failure:
                reasons.append(str(failure))
    assert reasons
    assert not {"crash", "timeout"} & set(reasons)


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")
async def test_a_process_has_no_right_but_to_compute() -> None:
    """It may open no file and no socket, write no file, gain no privilege, and yields to others."""
    async with running() as encoders:
        await encoders.encode(BODY, WEBP, "client", "a")
        limits, status, nice = rights(encoders.pids[0])
    assert [limits[name] for name in ("Max open files", "Max file size", "Max core file size")] == ["3", "0", "0"]
    assert "NoNewPrivs:\t1" in status
    assert ("Seccomp:\t2" in status) == (syscall_filter() is not None)
    assert nice >= 10


def rights(pid: int) -> tuple[dict[str, str], str, int]:
    """Read a process' limits, its status and its niceness."""
    process = Path(f"/proc/{pid}")
    lines = (process / "limits").read_text().splitlines()[1:]
    limits = {line[:26].strip(): line[26:].split()[0] for line in lines}
    nice = int((process / "stat").read_text().rpartition(")")[2].split()[16])
    return limits, (process / "status").read_text(), nice


async def test_leaving_early_costs_the_next_picture_nothing() -> None:
    """A process whose reply nobody took is not used again: it would be the answer to another picture."""
    async with running() as encoders:
        await encoders.encode(BODY, WEBP, "client", "a")
        [pid] = encoders.pids
        task = asyncio.create_task(encoders.encode(BODY, WEBP, "client", "a"))
        await asyncio.sleep(0)  # it is with the process now
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        other = saved(photograph(100, 80, seed=9), "PNG")
        assert opened(await encoders.encode(other, WEBP, "client", "b")).size == (100, 80)
        assert pid not in encoders.pids
