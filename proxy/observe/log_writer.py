"""Lines to a file descriptor, without ever making the caller wait: what cannot be written is dropped and counted."""

from __future__ import annotations

import errno
import os
import queue
import select
import threading
import time
from collections.abc import Iterable, Iterator

MAX_WAITING_LINES = 10_000
_BATCH_LINES = 500
_GATHERING_S = 0.02
"""How long lines may wait for others to be written with: waking the thread for each would cost more than the line."""


class LogWriter:
    """Writes lines from a thread of its own: a pipe that nobody reads stops this thread and not the event loop."""

    def __init__(self, fd: int | None, max_waiting: int = MAX_WAITING_LINES) -> None:
        self._fd = fd
        self._max_waiting = max_waiting
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._overflowed = 0  # written by callers alone, so that no lock is needed
        self._failed = 0  # written by the thread alone
        self._is_torn = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """How many lines were lost so far."""
        return self._overflowed + self._failed

    def write(self, line: str) -> None:
        """Hand over one line, without its newline."""
        if self._lines.qsize() >= self._max_waiting:
            self._overflowed += 1
        else:
            self._lines.put(line)

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is waiting, unless that takes longer than the timeout."""
        self._lines.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        is_open = True
        while is_open:
            lines = [self._lines.get()]
            if lines[0] is not None and self._lines.qsize() < _BATCH_LINES:
                time.sleep(_GATHERING_S)
            while lines[-1] is not None and len(lines) < _BATCH_LINES and not self._lines.empty():
                lines.append(self._lines.get())
            is_open = lines[-1] is not None
            for batch in _batches(line for line in lines if line is not None):
                self._deliver(batch)

    def _deliver(self, batch: bytes) -> None:
        rest = (b"\n" if self._is_torn else b"") + batch
        try:
            while rest:
                written = self._write(rest)
                self._is_torn = not rest[:written].endswith(b"\n")
                rest = rest[written:]
        except OSError:
            self._failed += rest.lstrip(b"\n").count(b"\n")

    def _write(self, data: bytes) -> int:
        if self._fd is None:
            raise OSError(errno.EBADF, "stderr is closed")
        while True:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:  # whoever shares the descriptor has made it non-blocking
                writable = select.poll()
                writable.register(self._fd, select.POLLOUT)
                writable.poll()


def _batches(lines: Iterable[str]) -> Iterator[bytes]:
    """Put lines together, no more at a time than a pipe takes in one piece: other workers write to the same one."""
    batch = b""
    for line in lines:
        encoded = f"{line}\n".encode(errors="backslashreplace")
        if batch and len(batch) + len(encoded) > select.PIPE_BUF:
            yield batch
            batch = b""
        batch += encoded
    if batch:
        yield batch
