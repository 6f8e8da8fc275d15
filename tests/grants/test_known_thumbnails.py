"""Which picture a file has last named, and when another one is news."""

from __future__ import annotations

import pytest

from proxy.domain.grant import Grant
from proxy.domain.keys import picture_of
from proxy.domain.tags import Tag, picture_tag
from proxy.grants.known_thumbnails import KnownThumbnails

SITE = "https://cloud.example.com/api/v4/file/content"
BUCKET = "https://s3.example.com/bucket"
SIGNED = "X-Amz-Credential=key&X-Amz-Signature"


def granted(url: str) -> Grant:
    name = picture_of(url, internal=url.startswith(SITE))
    return Grant(url, 2e9, name.id, name.own)


@pytest.mark.parametrize(
    ("first", "second", "is_news"),
    [
        (f"{SITE}/aaaa/0/1_x_one.jpg._thumb?sign=a", f"{SITE}/aaaa/0/one.jpg.jpg?sign=b", False),
        (f"{SITE}/aaaa/0/one.jpg?sign=a", f"{SITE}/bbbb/0/one.jpg?sign=b", True),
        (f"{BUCKET}/x_one.jpg._thumb?{SIGNED}=a", f"{BUCKET}/x_one.jpg._thumb?{SIGNED}=b", False),
        (f"{BUCKET}/x_one.jpg._thumb?{SIGNED}=a", f"{BUCKET}/y_one.jpg._thumb?{SIGNED}=b", True),
        (f"{BUCKET}/x_one.jpg?unheard-of=a", f"{BUCKET}/x_one.jpg?unheard-of=b", False),
    ],
)
def test_another_picture_is_news_and_another_name_or_signature_is_none(first: str, second: str, is_news: bool) -> None:
    """The result is the tag of the old picture; each file has its own."""
    told: list[tuple[Tag, ...]] = []
    known = KnownThumbnails(told.append)
    for file in ("one", "other"):
        known.note(file, granted(first))
    known.note("one", granted(second))
    assert told == [(picture_tag(granted(first).picture),)] * is_news
    assert "one" in known
    assert "another" not in known
