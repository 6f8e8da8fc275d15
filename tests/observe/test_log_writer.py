"""Writing lines never makes the caller wait, whatever becomes of the descriptor."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

from proxy.observe.log_writer import LogWriter

PIPE_BYTES = 4096


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield reading, writing
    for end in (reading, writing):
        with suppress(OSError):
            os.close(end)


def read_all(reading: int, writing: int) -> list[str]:
    """Close the writing end and give the lines that arrived."""
    os.close(writing)
    with os.fdopen(os.dup(reading), encoding="utf-8") as text:
        return text.read().splitlines()


def test_lines_arrive_in_their_order(pipe: tuple[int, int]) -> None:
    writer = LogWriter(pipe[1])
    for number in range(300):
        writer.write(f"line {number} 日")
    writer.close()
    assert read_all(*pipe) == [f"line {number} 日" for number in range(300)]
    assert writer.dropped == 0


def test_a_pipe_that_nobody_reads_drops_lines_and_does_not_block(pipe: tuple[int, int]) -> None:
    """What fits is kept: the pipe's content, one batch under way, and those allowed to wait."""
    reading, writing = pipe
    writer = LogWriter(writing, max_waiting=10)
    for _ in range(5000):
        writer.write("x" * 99)
    assert writer.dropped >= 5000 - PIPE_BYTES // 100 - 500 - 10
    drained = os.read(reading, PIPE_BYTES)
    assert drained.startswith(b"x" * 99 + b"\n")
    os.close(reading)
    writer.close()


def test_a_closed_pipe_is_survived_and_counted(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    writer = LogWriter(pipe[1])
    writer.write("one")
    writer.write("two")
    writer.close()
    assert writer.dropped == 2


def test_no_descriptor_at_all_is_survived_and_counted() -> None:
    """A process that is started without stderr may have a socket as its descriptor 2: nothing is written."""
    writer = LogWriter(None)
    writer.write("one")
    writer.close()
    assert writer.dropped == 1


def test_a_full_disk_costs_lines_and_no_more() -> None:
    """Linux has a device for it."""
    full = os.open("/dev/full", os.O_WRONLY)
    writer = LogWriter(full)
    writer.write("one")
    writer.close()
    os.close(full)
    assert writer.dropped == 1


def test_a_descriptor_made_nonblocking_by_others_loses_nothing(pipe: tuple[int, int]) -> None:
    """The setting belongs to the open file, which a parent may share."""
    reading, writing = pipe
    os.set_blocking(writing, False)
    writer = LogWriter(writing)
    for number in range(200):
        writer.write(f"{number:099}")
    received = b""
    while received.count(b"\n") < 200:
        received += os.read(reading, PIPE_BYTES)
    writer.close()
    assert received.split() == [b"%099d" % number for number in range(200)]
    assert writer.dropped == 0


class FullForAMoment(LogWriter):
    """Finds the disk full in the middle of its first line, and free again afterwards."""

    calls = 0

    def _write(self, data: bytes) -> int:
        self.calls += 1
        if self.calls == 2:
            raise OSError(errno.ENOSPC, "no space left")
        return super()._write(data[:3] if self.calls == 1 else data)


def test_a_line_torn_by_a_failure_does_not_spoil_the_next(pipe: tuple[int, int]) -> None:
    """It is ended, so that only itself is lost."""
    writer = FullForAMoment(pipe[1])
    writer.write("first")
    while writer.dropped == 0:
        os.sched_yield()
    writer.write("second")
    writer.close()
    assert read_all(*pipe) == ["fir", "second"]
    assert writer.dropped == 1
