"""Answers while a thumbnail is generated, before and after."""

from __future__ import annotations

from tests.harness.cloudreve_targets import Client


async def test_a_fresh_thumbnail_has_two_names_and_one_entity(cloudreve: Client) -> None:
    """The first name starts with the owner's number and a random part; types follow the names, bytes do not change."""
    uri = await cloudreve.fresh()

    first, later = [await cloudreve.resolve(uri, cloudreve.target.alice) for _ in range(2)]
    pictures = [await cloudreve.fetch(reply.url) for reply in (first, later)]

    name = uri.rpartition("/")[2]
    assert first.url.partition("?")[0].endswith(f"_{name}._thumb")
    assert later.url.partition("?")[0].endswith(f"/{name}.jpg")
    assert first.entity == later.entity
    assert [picture.headers["Content-Type"] for picture in pictures] == ["application/octet-stream", "image/jpeg"]
    assert pictures[0].body == pictures[1].body


async def test_a_new_upload_makes_a_new_entity(cloudreve: Client) -> None:
    """The old one answers 40077 at once, the new one is generated anew."""
    uri = await cloudreve.fresh()
    old = await cloudreve.resolve(uri, cloudreve.target.alice)
    await cloudreve.fresh(uri=uri)

    assert (await cloudreve.fetch(old.url)).code == 40077
    new = await cloudreve.resolve(uri, cloudreve.target.alice)
    assert new.entity != old.entity
    assert "._thumb?" in new.url


async def test_calls_of_a_hopeless_file_fail_together(cloudreve: Client) -> None:
    """Where nothing can be drawn no lock is in the way: all get -1, and 40077 from then on."""
    uri = await cloudreve.fresh("txt", b"no picture")

    replies = await cloudreve.target.together([cloudreve.resolve(uri, cloudreve.target.alice) for _ in range(5)])

    assert {reply.code for reply in replies} == {-1}
    assert (await cloudreve.resolve(uri, cloudreve.target.alice)).code == 40077
