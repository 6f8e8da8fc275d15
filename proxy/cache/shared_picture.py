"""A picture in Redis that has been read before, and is read again without being parsed."""

from __future__ import annotations

from proxy.domain.codec import decode, encode
from proxy.domain.picture import Picture
from proxy.domain.value_seal import ValueSeal


class SharedPicture:
    """Knows under which name a picture stands, and what its value says before the bytes."""

    __slots__ = ("_length", "_open", "_prefix", "name")

    def __init__(self, name: str, seal: ValueSeal, picture: Picture) -> None:
        value = encode(picture)
        self._open = seal.open
        self.name: str = name
        """The key in Redis."""
        self._length = len(value)
        self._prefix = value[: len(value) - len(picture.body)]

    def body(self, value: bytes) -> memoryview | None:
        """Give the bytes of the picture; None where the value is not that of a picture with the same head."""
        plain = self._open(self.name, value)
        if plain is None or len(plain) != self._length or not plain.startswith(self._prefix):
            return None
        return memoryview(plain)[len(self._prefix) :]

    def picture(self, body: memoryview) -> Picture:
        """Make a picture of its own of bytes that `body` gave."""
        picture = decode(body.obj)  # type: ignore[arg-type]  # the value, which is bytes
        assert isinstance(picture, Picture)  # noqa: S101 - it was one when it was read before
        return picture
