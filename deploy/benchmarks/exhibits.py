"""The pictures that are asked for: every body follows from its number, so that who checks needs no copy."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from random import Random
from urllib.parse import quote

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FRAME_BYTES = 12
"""What a chunk of a PNG takes beside its contents."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One picture."""

    folder: str
    number: int
    size_bytes: int

    @property
    def path(self) -> str:
        """Where it lies among alice's files."""
        return f"/{self.folder}/{self.number}.png"

    @property
    def body(self) -> bytes:
        """Make a PNG of exactly this size, unlike that of any other exhibit."""
        frame = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) + _chunk(b"IDAT", zlib.compress(b"\0\0"))
        end = _chunk(b"IEND", b"")
        left = self.size_bytes - len(_SIGNATURE) - len(frame) - len(end) - _FRAME_BYTES
        noise = Random(f"{self.folder} {self.number}").randbytes(left)  # noqa: S311 - a picture, not a secret
        return _SIGNATURE + frame + _chunk(b"noIs", noise) + end

    def public(self, share: str) -> str:
        """Give the path at the gateway by which anybody sees it."""
        return thumb(f"cloudreve://{share}@share/{self.number}.png")

    @property
    def private(self) -> str:
        """Give the path at the gateway by which its owner sees it."""
        return thumb(f"cloudreve://my{self.path}")

    @property
    def plain(self) -> str:
        """Give the path under which nginx has it."""
        return f"/plain{self.path}?size={self.size_bytes}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What is given where no picture is."""

    body: bytes

    @property
    def size_bytes(self) -> int:
        """Give its length."""
        return len(self.body)


def thumb(uri: str) -> str:
    """Give the path and query that ask the gateway for a File URI."""
    return f"/thumb?uri={quote(uri, safe='')}"


def _chunk(kind: bytes, contents: bytes) -> bytes:
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))
