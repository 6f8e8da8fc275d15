"""The answer of `/thumb/info`: it may be kept for as long as the picture with the shortest life."""

from __future__ import annotations

import pytest

from proxy.domain.grant import Grant
from proxy.domain.identity import ANONYMOUS, Identity, IdentityKind
from proxy.domain.picture import PictureId
from proxy.domain.picture_info import PictureInfo
from proxy.domain.response_fields import Handling
from proxy.domain.source import Source
from proxy.grants.found_grant import FoundGrant
from proxy.grants.validity import Decision
from proxy.http.info_answers import fields
from proxy.pictures.answer import InfoAnswer

INFO = PictureInfo("id", "1", '"one"', "image/png", 100, None, is_final=True)
ALICE = Identity(IdentityKind.USER, "alice")
GRANT = Grant("", 4000.0, PictureId("1"), own=True)
FOUND = FoundGrant(Decision(ANONYMOUS, GRANT), Source.MEMORY, collapsed=False)
PUBLIC = InfoAnswer(ANONYMOUS, INFO, 3000.0, Handling(Source.MEMORY, Source.MEMORY), FOUND)
PRIVATE = InfoAnswer(ALICE, INFO, 3000.0, Handling(Source.MEMORY, Source.MEMORY, browser_s=60.0), FOUND)
ENDING = InfoAnswer(ANONYMOUS, INFO, 7.0, Handling(Source.UPSTREAM, Source.UPSTREAM), FOUND)


@pytest.mark.parametrize(
    ("known", "kept"),
    [
        ([PUBLIC], "public, max-age=3000"),
        ([PUBLIC, PRIVATE], "private, max-age=60"),
        ([PRIVATE, PUBLIC], "private, max-age=60"),
        ([PUBLIC, PRIVATE, ENDING], "private, max-age=7"),
    ],
)
def test_the_shortest_life_counts_for_all(known: list[InfoAnswer], kept: str) -> None:
    assert dict(fields(known, '"etag"'))["Cache-Control"] == kept
