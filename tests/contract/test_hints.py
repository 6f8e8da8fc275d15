"""A context hint restores a share that was entered with it, its password unasked."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.harness.cloudreve_targets import Client


async def test_a_hint_restores_what_it_was_first_used_for(cloudreve: Client) -> None:
    """A share that was entered with a hint opens to the same viewer and hint without its password, and to no other."""
    share, hint = cloudreve.target.private_share, str(uuid4())
    bare = f"cloudreve://{share}@share/one.png"

    assert (await cloudreve.resolve(bare)).code == 40069
    assert (await cloudreve.resolve(f"cloudreve://{share}:pw123@share/one.png", hint=hint)).code == 0
    for spelling in (hint, hint.upper(), hint.replace("-", ""), f"{{{hint}}}", f"urn:uuid:{hint}"):
        assert (await cloudreve.resolve(bare, hint=spelling)).code == 0
    assert (await cloudreve.resolve(f"cloudreve://{share}:wrong@share/one.png", hint=hint)).code == 0
    assert (await cloudreve.resolve(f"cloudreve://{share}@share/nope.png", hint=hint)).code == 40016
    for token in (cloudreve.target.alice, cloudreve.target.bob):
        assert (await cloudreve.resolve(bare, token, hint)).code == 40069
    assert (await cloudreve.resolve(bare, hint=str(uuid4()))).code == 40069


async def test_a_hint_first_used_in_vain_restores_nothing(cloudreve: Client) -> None:
    """The first use is remembered, and later ones are not."""
    share, hint = cloudreve.target.private_share, str(uuid4())
    bare = f"cloudreve://{share}@share/one.png"

    assert (await cloudreve.resolve(bare, hint=hint)).code == 40069
    assert (await cloudreve.resolve(f"cloudreve://{share}:pw123@share/one.png", hint=hint)).code == 0
    assert (await cloudreve.resolve(bare, hint=hint)).code == 40069


@pytest.mark.parametrize("hint", ["garbage", "00000000-0000-0000-0000-000000000000"])
async def test_a_false_hint_restores_nothing(cloudreve: Client, hint: str) -> None:
    share = cloudreve.target.private_share

    assert (await cloudreve.resolve(f"cloudreve://{share}:pw123@share/one.png", hint=hint)).code == 0
    assert (await cloudreve.resolve(f"cloudreve://{share}@share/one.png", hint=hint)).code == 40069


async def test_a_hint_opens_nobody_s_own_files(cloudreve: Client) -> None:
    """The state of `my` is kept per user."""
    hint = str(uuid4())
    mine = "cloudreve://my/album/one.png"
    by_id = f"cloudreve://{cloudreve.target.alice_id}@my/album/one.png"

    assert (await cloudreve.resolve(mine, cloudreve.target.alice, hint)).code == 0
    assert (await cloudreve.resolve(mine, None, hint)).code == 401
    assert (await cloudreve.resolve(mine, cloudreve.target.bob, hint)).code == 40016
    assert (await cloudreve.resolve(by_id, cloudreve.target.bob, hint)).code == 403
