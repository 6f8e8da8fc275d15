"""Which File URIs are published, and with the rights of which account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.domain.file_uri import FileUri


@dataclass(frozen=True, slots=True)
class PublishedFolder:
    """Everything below a canonical File URI, as one account sees it."""

    prefix: FileUri
    account: int
    """The account's place in the configuration."""

    def holds(self, uri: FileUri) -> bool:
        """Tell whether a URI lies below the folder.

        Both are canonical, so that no other spelling of host, case, dots or slashes can lead out of it.
        """
        return uri.text.startswith(f"{self.prefix.text}/")


def account_for(uri: FileUri, folders: Sequence[PublishedFolder]) -> int | None:
    """Give the account that publishes a URI, that of the deepest folder which holds it; None when none does."""
    holding = [folder for folder in folders if folder.holds(uri)]
    return max(holding, key=lambda folder: len(folder.prefix.text)).account if holding else None
