"""Digests by which the log names files and visitors: equal for equal ones, and not to be reversed without the key."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from proxy.domain.digest import digest
from proxy.domain.file_uri import FileUri

_DIGEST_BYTES = 6
"""Twelve digits: short enough to be read out, and no two of a million files are likely to share one."""


class LogDigests:
    """The digests of one site. File URIs can be guessed, so that a digest without a secret would give them away."""

    def __init__(self, secret: str, site: str) -> None:
        self._key = blake2b(site.encode(), key=blake2b(secret.encode()).digest(), person=b"log").digest()

    def file(self, uri: FileUri, user: str = "") -> str:
        """Digest a file; `user` counts where the URI means the asking user's own files."""
        return self._digest("file", uri.text, "" if uri.is_absolute else user)

    def user(self, user: str) -> str:
        """Digest a user's id."""
        return self._digest("user", user)

    def address(self, client: str) -> str:
        """Digest the client at an address."""
        return self._digest("address", client)

    def _digest(self, *fields: str) -> str:
        return digest(blake2b(digest_size=_DIGEST_BYTES, key=self._key), *fields)


def digests_for(keys: Sequence[str], site: str, fallback: str) -> LogDigests:
    """Make a site's digests: the same at all replicas and after a restart where `seal.keys` has a key."""
    return LogDigests(keys[0] if keys else fallback, site)
