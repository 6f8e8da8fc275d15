"""Lines to a file descriptor, without ever making the caller wait: what cannot be written is dropped and counted."""

from __future__ import annotations

import errno
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator

MAX_WAITING_LINES = 50_000
_BATCH_LINES = 4096
_GATHERING_S = 0.02
"""How long lines may wait for others to be written with: waking the thread for each would cost more than the line."""


class LogWriter:
    """Writes lines from a thread of its own: a pipe that nobody reads stops this thread and not the event loop."""

    def __init__(self, fd: int | None, max_waiting: int = MAX_WAITING_LINES) -> None:
        self._fd = fd
        self._max_waiting = max_waiting
        self._piece_bytes = _piece_bytes(fd)
        self._lines: deque[str] = deque()
        self._is_idle = False
        self._is_closed = False
        self._wake = threading.Event()
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
        if len(self._lines) >= self._max_waiting:
            self._overflowed += 1
            return
        self._lines.append(line)
        if self._is_idle:
            self._wake.set()

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is waiting, unless that takes longer than the timeout."""
        self._is_closed = True
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while self._lines or not self._is_closed:
            self._wait()
            lines = [self._lines.popleft() for _ in range(min(len(self._lines), _BATCH_LINES))]
            for piece in _pieces(lines, self._piece_bytes):
                self._deliver(piece)

    def _wait(self) -> None:
        """Wait for a line, and a little for others. Callers wake the thread once it has said that it is idle."""
        self._is_idle = True
        if not self._lines:
            self._wake.wait()
        self._is_idle = False
        if not self._is_closed:
            self._wake.clear()
        if len(self._lines) < _BATCH_LINES and not self._is_closed:
            time.sleep(_GATHERING_S)

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
            except BlockingIOError:  # another process with the descriptor has made it non-blocking
                writable = select.poll()
                writable.register(self._fd, select.POLLOUT)
                writable.poll()


def _piece_bytes(fd: int | None) -> int | None:
    """Tell how much may be written at a time: where other workers write too, what a pipe takes in one piece."""
    try:
        return None if fd is None or stat.S_ISREG(os.fstat(fd).st_mode) else select.PIPE_BUF
    except OSError:
        return None


def _pieces(lines: list[str], size_bytes: int | None) -> Iterator[bytes]:
    """Put lines together, in pieces of whole lines; a longer line is a piece by itself."""
    text = "\n".join([*lines, ""]).encode(errors="backslashreplace")
    start, step = 0, len(text) if size_bytes is None else size_bytes
    while start < len(text):
        end = text.rfind(b"\n", start, start + step) + 1 or text.index(b"\n", start) + 1
        yield text[start:end]
        start = end
