"""The encoder processes: started when first needed, replaced when they crash or hang."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import structlog

from proxy.coalesce.fair_queue import FairQueue
from proxy.domain.client import Client
from proxy.domain.picture_info import Look
from proxy.domain.variant import Variant
from proxy.observe.span import Observer
from proxy.pictures.encode import Quality
from proxy.pictures.encoder_process import DONE, LENGTH_BYTES, EncodeJob, Job, Limits, LookJob
from proxy.settings import PictureSettings

PROGRAM = (sys.executable, "-m", "proxy.pictures.encoder_process")
LOOK = "look"
"""How looking at a picture is counted, beside the formats."""

_log = structlog.get_logger("proxy.pictures")


class EncodeFailed(Exception):
    """This picture cannot be decoded or encoded; the message is a reason without anything of the picture in it."""


class Encoders:
    """Encodes variants in `pictures.encoders` processes, for all clients in turn."""

    def __init__(
        self, limit: FairQueue, settings: PictureSettings, observer: Observer, program: Sequence[str] = PROGRAM
    ) -> None:
        quality = Quality(settings.webp_quality, settings.webp_effort, settings.avif_quality, settings.avif_speed)
        limits = Limits(quality, settings.max_pixels, settings.encoder_memory_bytes)
        self._command = (*program, msgspec.json.encode(limits).decode())
        self._timeout_s = settings.encode_timeout_s
        self._limit = limit
        self._observer = observer
        self._looks = msgspec.msgpack.Decoder(Look)
        self._idle: list[Process] = []
        self._busy: set[Process] = set()

    @property
    def pids(self) -> list[int]:
        """Give the ids of the processes that run, those without work first."""
        return [process.pid for process in (*self._idle, *self._busy) if process.returncode is None]

    async def encode(self, body: bytes, variant: Variant, client: Client, name: str) -> bytes:
        """Give the variant's bytes; raise EncodeFailed where there is none, Busy where too many wait."""
        return await self._do(EncodeJob(variant, body), variant.format or "original", client, name)

    async def look(self, body: bytes, client: Client, name: str) -> Look:
        """Tell how a picture looks; raise as `encode` does."""
        raw = await self._do(LookJob(body), LOOK, client, name)
        try:
            return self._looks.decode(raw)
        except msgspec.MsgspecError as error:
            raise EncodeFailed("crash") from error

    async def _do(self, job: Job, kind: str, client: Client, name: str) -> bytes:
        with self._limit.admitted(client, name):
            async with self._limit.slot(name):
                with self._observer.span("encode", format=kind) as span:
                    span.outcome = "failed"
                    encoded = await self._ask(msgspec.msgpack.encode(job))
                    span.outcome = "done"
                    return encoded

    async def aclose(self) -> None:
        """End the processes."""
        for process in [*self._idle, *self._busy]:
            await _end(process)
        self._idle.clear()

    async def _ask(self, job: bytes) -> bytes:
        process = self._rested() or await self._started()
        self._busy.add(process)
        is_well = False
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await _exchange(process, job)
            is_well = True
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            reason = "timeout" if isinstance(error, TimeoutError) else "crash"
            _log.warning("encoder process replaced", reason=reason)
            raise EncodeFailed(reason) from error
        finally:
            self._busy.discard(process)
            if is_well:
                self._idle.append(process)
            else:
                await _end(process)
        if not reply.startswith(DONE):
            raise EncodeFailed(reply[1:].decode("ascii", "replace"))
        return reply[1:]

    def _rested(self) -> Process | None:
        """Take a process without work; one that has ended meanwhile is dropped."""
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        return None

    async def _started(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
        )


async def _exchange(process: Process, job: bytes) -> bytes:
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(len(job).to_bytes(LENGTH_BYTES))
        process.stdin.write(job)
    except RuntimeError as error:  # uvloop's, where the process has closed its end
        raise BrokenPipeError from error
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES))
    return await process.stdout.readexactly(length)


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
