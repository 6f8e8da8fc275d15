"""Which files lie below a published folder."""

from __future__ import annotations

import pytest

from proxy.domain.file_uri import FileUri, parse
from proxy.identity.published import PublishedFolder, account_for

MAX_BYTES = 4096


def uri(text: str) -> FileUri:
    return parse(text, MAX_BYTES)


FOLDER = PublishedFolder(uri("cloudreve://my/album"), 0)
DEEPER = PublishedFolder(uri("cloudreve://my/album/press"), 1)


@pytest.mark.parametrize(
    "text",
    [
        "cloudreve://my/album/one.png",
        "CLOUDREVE://MY//album/./one.png",
        "cloudreve://my/x/../album/one.png",
        "cloudreve://my/%61lbum%2Fone.png",
        "cloudreve://my/album/deep/er/one.png#fragment",
        "cloudreve://my/album/one.png?name=two",
    ],
)
def test_every_spelling_of_what_lies_below_is_published(text: str) -> None:
    assert account_for(uri(text), [FOLDER]) == 0


@pytest.mark.parametrize(
    "text",
    [
        "cloudreve://my/album",
        "cloudreve://my/albums/one.png",
        "cloudreve://my/album-2/one.png",
        "cloudreve://my/ALBUM/one.png",
        "cloudreve://my/one.png",
        "cloudreve://my",
        "cloudreve://xntj@my/album/one.png",
        "cloudreve://xntj@share/album/one.png",
        "cloudreve://trash/album/one.png",
        "cloudreve://shared_with_me/album/one.png",
    ],
)
def test_nothing_beside_the_folder_is_published(text: str) -> None:
    """Not the folder itself, not its neighbours, not the same path elsewhere."""
    assert account_for(uri(text), [FOLDER]) is None


def test_the_deepest_folder_decides() -> None:
    inside = uri("cloudreve://my/album/press/one.png")
    assert account_for(inside, [FOLDER, DEEPER]) == account_for(inside, [DEEPER, FOLDER]) == 1
