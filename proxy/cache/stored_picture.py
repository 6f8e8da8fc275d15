"""A picture on disk that has been read before, and is read again without waiting for the disk."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag

from proxy.cache.disk_extents import Extent
from proxy.cache.disk_record import Record
from proxy.cache.disk_seal import NONCE_END
from proxy.cache.disk_store import DiskStore
from proxy.domain.picture import Picture, PictureHead


class StoredPicture:
    """Knows where a picture lies, its nonce, and where its bytes begin: decrypted, they need not be parsed.

    Another record at that offset has another nonce or another name, and does not open.
    """

    __slots__ = (
        "__weakref__",
        "_begin",
        "_decrypt",
        "_extent",
        "_name",
        "_nonce",
        "_read",
        "_until",
        "head",
        "is_over",
    )

    def __init__(self, store: DiskStore, record: Record, picture: Picture, extent: Extent, until: float) -> None:
        self._read = store.read_at_once
        self._name = record.name
        self._decrypt = record.cipher.decrypt
        self._nonce = record.nonce
        self._extent = Extent(extent.offset + NONCE_END, extent.length - NONCE_END)
        self._begin = len(record.plain) - len(picture.body)
        self._until = min(until, record.expires)
        self.head: PictureHead = picture.head
        self.is_over = not record.plain.endswith(picture.body)
        """Whether it has to be looked up anew."""

    def read(self, now: float) -> memoryview | None:
        """Give the bytes of the picture; None where the disk would have to be waited for, or they are not there."""
        if self.is_over or now >= self._until:
            return None
        sealed = self._read(self._extent, now)
        if sealed is None:
            return None
        try:
            return memoryview(self._decrypt(self._nonce, sealed, self._name))[self._begin :]
        except InvalidTag:
            self.is_over = True
            return None
