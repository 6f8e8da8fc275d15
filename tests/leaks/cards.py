"""Pictures each of which tells by its bytes what it is a picture of, and in any format and size by its colour."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from itertools import count

from PIL import Image

from proxy.standin.library import Account, File
from proxy.standin.standin import StandIn

MAGIC = b"\x89PNG\r\n\x1a\n"
WIDTH, HEIGHT = 16, 12


@dataclass(slots=True)
class Card:
    """Some bytes: of which file, and until when."""

    file: File
    until: float = math.inf


class Cards:
    """Draws pictures, and knows every one again."""

    def __init__(self, cloudreve: StandIn) -> None:
        self._cloudreve = cloudreve
        self._numbers = count(1)
        self._cards: dict[bytes, Card] = {}
        self._by_number: dict[int, Card] = {}

    def put(self, owner: Account, path: str) -> File:
        """Upload a file with a picture of its own, in place of what was there."""
        number = next(self._numbers)
        body = _drawn(number)
        file = self._cloudreve.library.put(owner, path, thumbnail=body)
        self._cards[body] = self._by_number[number] = Card(file)
        return file

    def repaint(self, file: File, now: float) -> None:
        """Put other bytes behind a file's thumbnail, as storage allows to whoever else writes there."""
        for card in self._cards.values():
            if card.file is file:
                card.until = min(card.until, now)
        number = next(self._numbers)
        body = _drawn(number)
        self._cloudreve.library.repaint(file, body)
        self._cards[body] = self._by_number[number] = Card(file)

    def read(self, body: bytes) -> Card:
        """Tell what a visitor is looking at."""
        card = self._cards.get(body) or self._by_number.get(_number_of(body))
        assert card is not None, "somebody was shown bytes that are nobody's picture"
        return card


def _number_of(body: bytes) -> int:
    """Read the number in a colour, which a lossy copy keeps."""
    with Image.open(BytesIO(body)) as image:
        pixel = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
    assert isinstance(pixel, tuple)
    red, green, blue = (int(shade) // 8 for shade in pixel)
    return red + 32 * green + 1024 * blue


def _drawn(number: int) -> bytes:
    """Draw a plain colour that is a number, which also stands behind it: long enough to arrive in several pieces."""
    colour = bytes(8 * shade + 4 for shade in (number % 32, number // 32 % 32, number // 1024 % 32))
    text = b"Title\0" + str(number).encode().rjust(400, b"0")
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + colour * WIDTH) * HEIGHT)
    chunks = (b"IHDR", header), (b"tEXt", text), (b"IDAT", pixels), (b"IEND", b"")
    return MAGIC + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
