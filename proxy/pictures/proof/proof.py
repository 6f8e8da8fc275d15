"""One picture's proof of completeness, and the bound on its pixels."""

from __future__ import annotations

from collections.abc import Callable

from proxy.domain.errors import UpstreamError
from proxy.pictures.proof import bitmap, gif, heif, jpeg, png, webp
from proxy.pictures.proof.body import Body, Broken, Size, Walk

_WALKS: dict[str, Callable[[Body], Walk]] = {
    "image/png": png.walk,
    "image/jpeg": jpeg.walk,
    "image/gif": gif.walk,
    "image/webp": webp.walk,
    "image/bmp": bitmap.walk_bmp,
    "image/x-icon": bitmap.walk_icons,
    "image/avif": heif.walk,
    "image/heic": heif.walk,
    "image/heif": heif.walk,
}


class Proof:
    """Follows a picture as it arrives. Raises UpstreamError as soon as it cannot become a whole one."""

    def __init__(self, media_type: str, body: Body, max_pixels: int) -> None:
        self._body = body
        self._walk = _WALKS[media_type](body)
        self._max_pixels = max_pixels
        self.is_measured = False
        """Whether its size is known, and allowed."""

    def advance(self) -> None:
        """Walk as far as the bytes go."""
        try:
            for found in self._walk:
                if found is None:
                    return
                self._measure(found)
        except Broken as error:
            raise UpstreamError(f"The picture is cut off or damaged: it {error}.") from error

    def finish(self) -> None:
        """Walk to the end: no more bytes will come."""
        self._body.is_over = True
        self.advance()

    def _measure(self, size: Size) -> None:
        if not size.width or not size.height:
            raise Broken("has no pixels")
        if size.width * size.height > self._max_pixels:
            raise UpstreamError("The picture has more pixels than this gateway accepts.")
        self.is_measured = True


def prove(media_type: str, data: bytes, max_pixels: int) -> None:
    """Prove a picture that is all there; raise UpstreamError where it is not whole or too large."""
    body = Body()
    body.data += data
    Proof(media_type, body, max_pixels).finish()
