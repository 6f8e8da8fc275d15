"""Pictures each of which tells by its bytes what it is a picture of."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from itertools import count

from proxy.standin.library import Account, File
from proxy.standin.standin import StandIn

MAGIC = b"\x89PNG\r\n\x1a\n"


@dataclass(slots=True)
class Card:
    """What some bytes are: those of a file, and until when they were the ones behind it."""

    file: File
    until: float = math.inf


class Cards:
    """Draws pictures, and knows every one again."""

    def __init__(self, cloudreve: StandIn) -> None:
        self._cloudreve = cloudreve
        self._numbers = count(1)
        self._cards: dict[bytes, Card] = {}

    def put(self, owner: Account, path: str) -> File:
        """Upload a file with a picture of its own, in place of what was there."""
        body = _drawn(next(self._numbers))
        file = self._cloudreve.library.put(owner, path, thumbnail=body)
        self._cards[body] = Card(file)
        return file

    def repaint(self, file: File, now: float) -> None:
        """Put other bytes behind a file's thumbnail, as storage allows to whoever else writes there."""
        for card in self._cards.values():
            if card.file is file:
                card.until = min(card.until, now)
        body = _drawn(next(self._numbers))
        self._cloudreve.library.repaint(file, body)
        self._cards[body] = Card(file)

    def read(self, body: bytes) -> Card:
        """Tell what a visitor is looking at."""
        assert body in self._cards, "somebody was shown bytes that are nobody's picture"
        return self._cards[body]


def _drawn(number: int) -> bytes:
    """Draw one pixel, with a number behind it that is long enough to arrive in more than one piece."""
    text = b"Title\0" + str(number).encode().rjust(400, b"0")
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"tEXt", text), (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")
    return MAGIC + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
