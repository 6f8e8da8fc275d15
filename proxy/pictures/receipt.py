"""A picture that arrives: proven step by step, and handed on but for its end."""

from __future__ import annotations

from proxy.domain.errors import UpstreamError
from proxy.domain.picture import PictureHead
from proxy.domain.sniff import SNIFF_BYTES, media_type
from proxy.pictures.proof.body import Body
from proxy.pictures.proof.proof import Proof
from proxy.pictures.stream_buffer import StreamBuffer
from proxy.upstream.image_answer import Arrival

HELD_BYTES = 64
"""So many bytes of the end are held back until the whole is proven: without them no transfer looks complete."""


class Receipt:
    """A picture that arrives: proven step by step, and handed on but for its end."""

    def __init__(self, arrival: Arrival, download: StreamBuffer, max_pixels: int) -> None:
        self._arrival = arrival
        self._download = download
        self._max_pixels = max_pixels
        self._body = Body()
        self._kind = ""
        self._proof: Proof | None = None
        self._sent_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Tell how much has come."""
        return len(self._body.data)

    def take(self, chunk: bytes) -> None:
        """Add bytes; readers hear of the picture once its kind and size are known."""
        self._body.data += chunk
        if self._proof is None and self.size_bytes >= SNIFF_BYTES:
            self._proof = self._begin()
        if self._proof is not None:
            self._proof.advance()
            if self._proof.is_measured:
                self._hand_on()

    def finish(self) -> tuple[str, bytes]:
        """Give kind and bytes of the whole; raise UpstreamError where it is none."""
        proof = self._proof or self._begin()
        proof.finish()
        return self._kind, bytes(self._body.data)

    def _begin(self) -> Proof:
        self._kind = _proven(bytes(self._body.data[:SNIFF_BYTES]))
        return Proof(self._kind, self._body, self._max_pixels)

    def _hand_on(self) -> None:
        length = self._arrival.length_bytes
        upto = min(self.size_bytes, (length or self.size_bytes) - HELD_BYTES)
        if upto > self._sent_bytes:
            if not self._sent_bytes:
                self._download.begin(PictureHead(self._kind, self._arrival.etag, length))
            self._download.feed(bytes(self._body.data[self._sent_bytes : upto]))
            self._sent_bytes = upto


def _proven(head: bytes) -> str:
    kind = media_type(head)
    if kind is None:
        raise UpstreamError("What came from the image URL is not a picture.")
    return kind
