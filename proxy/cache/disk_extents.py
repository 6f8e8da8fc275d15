"""Where records lie in the file, so that they can be read without a look into the tree, and without waiting.

LMDB has the file mapped; a value of its is read in a thread, where it may wait for the disk. Where the value lies in
the mapping says where it lies in the file. From there it is read with RWF_NOWAIT (preadv2(2)): the kernel gives what it
has in memory and says so where it would have to wait. An extent may be out of date: another process has dropped or
replaced the record since, and the bytes are another's, or half of one and half of another. They do not open then, as
each record is sealed for its own key. As long as nothing has been written over them they are the record of before,
which counts as it would in the memory tier: what is forgotten here is forgotten there.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import ClassVar, NamedTuple

RULER = b"ruler"
"""The key of a value that is as long as two pages and lies on pages of its own."""
RULER_BYTES = 8192

_PAGE_BYTES = 4096
_HEADER_BYTES = 16
_NUMBER_BYTES = 8
_SIMPLE = 0
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)


class Extent(NamedTuple):
    """A part of the file."""

    offset: int
    length: int


class _Buffer(ctypes.Structure):
    """`Py_buffer` (https://docs.python.org/3/c-api/buffer.html): its first field is the address."""

    _fields_: ClassVar = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("rest", ctypes.c_void_p * 5),
    ]


def _address(view: memoryview | bytes) -> int:
    buffer = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(buffer), _SIMPLE)
    try:
        return int(buffer.buf or 0)
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))


class Extents:
    """Finds and reads extents of one file, which stays open."""

    def __init__(self, path: Path, ruler: memoryview | bytes | None) -> None:
        """Open the file. `ruler` is the value of `RULER` in the mapping; without it nothing is found."""
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._scratch = memoryview(bytearray())
        try:
            self._base = self._base_of(ruler) if ruler is not None and _NOWAIT else None
        except BaseException:
            os.close(self._file)
            raise

    def find(self, mapped: memoryview | bytes, value: bytes) -> Extent | None:
        """Tell where a value in the mapping lies; None where that is not certain. May wait for the disk."""
        if self._base is None:
            return None
        extent = Extent(_address(mapped) - self._base, len(value))
        is_there = extent.offset >= 0 and os.pread(self._file, extent.length, extent.offset) == value
        return extent if is_there else None

    def read(self, extent: Extent) -> memoryview | None:
        """Read the bytes of an extent; None where the disk would have to be waited for.

        For one thread, and good until it reads again.
        """
        offset, wanted = extent
        if wanted > len(self._scratch):
            self._scratch = memoryview(bytearray(wanted))
        part = self._scratch[:wanted]
        try:
            length = os.preadv(self._file, (part,), offset, _NOWAIT)
        except OSError:  # EAGAIN; EOPNOTSUPP where the file system knows no such reads
            return None
        return part if length == wanted else None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _base_of(self, ruler: memoryview | bytes) -> int | None:
        """Find the beginning of the mapping: each run of pages begins with its number."""
        address = _address(ruler)
        number = int.from_bytes(ctypes.string_at(address - _HEADER_BYTES, _NUMBER_BYTES), "little")
        offset = number * _PAGE_BYTES + _HEADER_BYTES
        if offset > os.fstat(self._file).st_size or os.pread(self._file, len(ruler), offset) != ruler:
            return None
        return address - offset
