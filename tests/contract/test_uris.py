"""Which File URIs are equal for Cloudreve, and which it refuses to whom."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.harness.cloudreve_targets import Client, Reply

EQUAL = (
    "CLOUDREVE://MY/album/one.png",
    "CloudReve://mY/album/one.png",
    "cloudreve://my//album///one.png",
    "cloudreve://my/./album/../album/one.png",
    "cloudreve://my/../../album/one.png",
    "cloudreve://my/album/nope/../one.png",
    "cloudreve://my/album/one.png/..//one.png",
    "cloudreve://my/album/one.png/",
    "cloudreve://my/album/one.png//",
    "cloudreve://my/album%2Fone.png",
    "cloudreve://my/album/one.png%2f",
    "cloudreve://my/%61lbum/one.png",
    "cloudreve://my/%2e%2e/album/one.png",
    "cloudreve://my/album/%2e/one.png",
    "cloudreve://my/album/one.png#x",
    "cloudreve://my/album/one.png?x=1",
    "cloudreve://my/album/one.png?name=foo",
    "cloudreve://my/album/one.png?type=folder&size_gte=999999999",
    "cloudreve://my/album/one.png?meta_x=y&exact_meta_x=y&created_lte=1&case_folding",
    "cloudreve://my/album/one.png?%zz",
    "cloudreve://{alice}@my/album/one.png",
    "cloudreve://{alice}:pw@my/album/one.png",
)
"""Spellings of alice's `cloudreve://my/album/one.png`."""

NON_ASCII = (
    "cloudreve://my/日落 (1).png",
    "cloudreve://my/%E6%97%A5%E8%90%BD%20(1).png",
    "cloudreve://my/%e6%97%a5%e8%90%bd%20%281%29.png",
)

REFUSED = (
    ("cloudreve://my/ALBUM/one.png", 40016),
    ("cloudreve://my/album/One.png", 40016),
    ("cloudreve://my/album/one.png ", 40016),
    ("cloudreve://my/album\\one.png", 40016),
    ("cloudreve://my/album/one.png/x", 40016),
    ("cloudreve://my/album/one.png%23", 40016),
    ("cloudreve://my/%E6%97%A5%E8%90%BD+(1).png", 40016),
    ("cloudreve://my/a%00b", 40016),
    ("cloudreve://my/album;a/one.png", 40016),
    ("cloudreve://@my/album/one.png", 40016),
    ("cloudreve://:@my/album/one.png", 40016),
    ("cloudreve://:pw@my/album/one.png", 40016),
    ("cloudreve://nope@my/album/one.png", 40016),
    ("cloudreve://a@b@my/album/one.png", 40016),
    ("cloudreve://{bob}@my/bob.png", 403),
    ("cloudreve://{bob}@my/nope", 403),
    ("cloudreve://my", 40077),
    ("cloudreve://my/", 40077),
    ("cloudreve://my?x", 40077),
    ("cloudreve://my:80/album/one.png", -1),
    ("cloudreve://my:/album/one.png", -1),
    ("cloudreve://my./album/one.png", -1),
    ("cloudreve:my/album/one.png", -1),
    ("cloudreve:/my/album/one.png", -1),
    ("cloudreve:///album/one.png", -1),
    ("cloudreve://", -1),
    ("cloudreve://other/x", -1),
    ("cloudreve://trash", -1),
    ("cloudreve://trash/x", 40016),
    ("cloudreve://nope:pw@trash/x", 40016),
    ("cloudreve://nope@shared_with_me", 40077),
    ("cloudreve://shared_with_me", 40077),
    ("cloudreve://shared_with_me/x", 40016),
    ("cloudreve://share/one.png", 404),
    ("cloudreve://my:x/album/one.png", 40001),
    ("cloudreve://m%79/album/one.png", 40001),
    ("cloudreve://[my]/album/one.png", 40001),
    ("cloudreve://a b@my/x", 40001),
    ("cloudreve://my/%zz", 40001),
    ("cloudreve://my/%", 40001),
    ("cloudreve://my/a\tb", 40001),
    ("cloudreve://my/album/one.png\n", 40001),
    ("cloudreve://my/album/one.png#%zz", 40001),
    (" cloudreve://my/album/one.png", 40001),
    ("//my/album/one.png", 40001),
    ("http://my/album/one.png", 40001),
    ("cloudreve+x://my/a", 40001),
    ("1cloudreve://my/a", 40001),
    ("/", 40001),
    ("", 40001),
)

ANONYMOUS = (
    ("cloudreve://my", 401),
    ("cloudreve://nope@my/x", 401),
    ("cloudreve://{alice}@my/album/one.png", 401),
    ("cloudreve://trash/x", 401),
    ("cloudreve://shared_with_me/x", 401),
    ("cloudreve://other/x", -1),
    ("cloudreve://{share}@share/one.png", 0),
    ("cloudreve://{share}:any@share/one.png", 0),
    ("cloudreve://{share}@share/one.png?name=foo&type=folder", 0),
    ("cloudreve://{private}@share/one.png?password=pw123", 40069),
    ("cloudreve://{private}:pw123@share/one.png?password=other", 0),
    ("cloudreve://{share}@SHARE//./one.png/", 0),
    ("cloudreve://{share}@share/../one.png", 0),
    ("cloudreve://{share}@share", 40077),
    ("cloudreve://{share}@share/nope.png", 40016),
    ("cloudreve://{private}:pw%31%32%33@share/one.png", 0),
    ("cloudreve://{private}:PW123@share/one.png", 40069),
    ("cloudreve://{private}:@share/one.png", 40069),
    ("cloudreve://{private}@share/nope", 40069),
    ("cloudreve://{private}:pw123@share/nope", 40016),
    ("cloudreve://{private}:pw123@share", 40077),
    ("cloudreve://{file}@share", 40077),
    ("cloudreve://{file}@share/two.png", 40016),
    ("cloudreve://{file}@share/one.png/", 0),
    ("cloudreve://{file}@share/a/one.png", 40016),
    ("cloudreve://{file}@share/one.png/x", 40016),
    ("cloudreve://@share/one.png", 404),
)


def _filled(cloudreve: Client, text: str) -> str:
    target = cloudreve.target
    names = {"alice": target.alice_id, "bob": target.bob_id, "share": target.share}
    return text.format(**names, private=target.private_share, file=target.file_share)


async def _one(cloudreve: Client) -> Reply:
    """Resolve alice's one.png, whose thumbnail exists for certain the second time."""
    await cloudreve.resolve("cloudreve://my/album/one.png", cloudreve.target.alice)
    return await cloudreve.resolve("cloudreve://my/album/one.png", cloudreve.target.alice)


@pytest.mark.parametrize("uri", EQUAL)
async def test_a_spelling_names_the_same_picture(cloudreve: Client, uri: str) -> None:
    """Equal File URIs bring the same entity under the same name."""
    plain = await _one(cloudreve)

    other = await cloudreve.resolve(_filled(cloudreve, uri), cloudreve.target.alice)

    assert other.code == 0
    assert other.url.partition("?")[0] == plain.url.partition("?")[0]


async def test_raw_and_encoded_names_are_equal(cloudreve: Client) -> None:
    """Percent encoding in either case, or none, names the same file; so does a plus sign in the query."""
    entities = {(await cloudreve.resolve(uri, cloudreve.target.alice)).entity for uri in NON_ASCII}
    header = {"Authorization": f"Bearer {cloudreve.target.alice}"}
    by_plus = await cloudreve.send(
        "GET", "/api/v4/file/thumb?uri=cloudreve://my/%25E6%2597%25A5%25E8%2590%25BD+(1).png", header
    )

    assert entities == {by_plus.entity}


@pytest.mark.parametrize(("uri", "code"), REFUSED)
async def test_a_user_is_refused(cloudreve: Client, uri: str, code: int) -> None:
    """A picture that alice cannot have is refused with this code."""
    reply = await cloudreve.resolve(_filled(cloudreve, uri), cloudreve.target.alice)

    assert (reply.status, reply.code) == (200, code)


@pytest.mark.parametrize(("uri", "code"), ANONYMOUS)
async def test_an_anonymous_visitor_is_answered(cloudreve: Client, uri: str, code: int) -> None:
    reply = await cloudreve.resolve(_filled(cloudreve, uri))

    assert (reply.status, reply.code) == (200, code)


async def test_the_owner_of_a_private_share_needs_its_password_too(cloudreve: Client) -> None:
    reply = await cloudreve.resolve(
        f"cloudreve://{cloudreve.target.private_share}@share/one.png", cloudreve.target.alice
    )

    assert reply.code == 40069


@pytest.mark.parametrize("query", ["uri=%zz", "uri=cloudreve://my/a;b", "URI=cloudreve://my/a", ""])
async def test_a_query_without_a_readable_uri_has_none(cloudreve: Client, query: str) -> None:
    """Broken escapes, semicolons and other names count for nothing."""
    reply = await cloudreve.send("GET", f"/api/v4/file/thumb?{query}")

    assert reply.json == {"code": 40001, "msg": "Uri cannot be empty"}


async def test_the_first_of_two_uris_counts(cloudreve: Client) -> None:
    uri = quote(f"cloudreve://{cloudreve.target.share}@share/one.png", safe="")
    reply = await cloudreve.send("GET", f"/api/v4/file/thumb?uri={uri}&uri=x")

    assert reply.code == 0


async def test_a_ticket_that_nobody_asked_for_changes_nothing(cloudreve: Client) -> None:
    headers = {"X-Cr-Purchase-Ticket": "garbage"}
    uri = f"cloudreve://{cloudreve.target.share}@share/one.png"

    assert (await cloudreve.send("GET", f"/api/v4/file/thumb?uri={uri}", headers)).code == 0
