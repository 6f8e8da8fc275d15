"""A picture on disk that has been read before, and is read again without waiting for the disk."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag

from proxy.cache.disk_places import Place
from proxy.cache.disk_record import Record
from proxy.cache.disk_seal import MARK_BYTES, NONCE_END
from proxy.cache.disk_store import DiskStore
from proxy.domain.picture import Picture, PictureHead


class StoredPicture:
    """Knows where a picture lies, and what its record says before the bytes: decrypted, they need not be parsed."""

    __slots__ = ("__weakref__", "_cipher", "_name", "_place", "_prefix", "_store", "_until", "head", "is_over")

    def __init__(self, store: DiskStore, record: Record, picture: Picture, place: Place, until: float) -> None:
        self._store = store
        self._name = record.name
        self._cipher = record.cipher
        self._place = place
        self._prefix = record.plain[: len(record.plain) - len(picture.body)]
        self._until = min(until, record.expires)
        self.head: PictureHead = picture.head
        self.is_over = not record.plain.endswith(picture.body)
        """Whether it has to be looked up anew."""

    def read(self, now: float) -> memoryview | None:
        """Give the bytes of the picture; None where the disk would have to be waited for, or they are not there."""
        if self.is_over or now >= self._until:
            return None
        sealed = self._store.read_at_once(self._place)
        if sealed is None:
            return None
        try:
            plain = self._cipher.decrypt(bytes(sealed[MARK_BYTES:NONCE_END]), sealed[NONCE_END:], self._name)
        except InvalidTag:
            self.is_over = True
            return None
        if not plain.startswith(self._prefix):
            self.is_over = True
            return None
        return memoryview(plain)[len(self._prefix) :]
