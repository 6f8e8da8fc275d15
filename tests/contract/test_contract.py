"""What a real Cloudreve does beyond the recorded exchanges, asked of the stand-in and of a real one alike."""

from __future__ import annotations

from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.contract.target import Client, Reply

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

SIGNATURES = (
    ("", 403),
    ("abc:", 403),
    ("abc", 40071),
    ("abc:12x", 40071),
    ("abc:0", 40071),
    ("abc:1", 40005),
)

CONDITIONS = (
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": 'W/"{entity}"'}, 304),
    ({"If-None-Match": '"a", "{entity}"'}, 304),
    ({"If-None-Match": '"a"'}, 200),
    ({"Range": "bytes=-5"}, 206),
    ({"Range": "bytes=5-"}, 206),
    ({"Range": "bytes=999999999-"}, 416),
    ({"Range": "lines=1"}, 416),
    ({"Range": "bytes=0-9", "If-Range": '"{entity}"'}, 206),
    ({"Range": "bytes=0-9", "If-Range": '"a"'}, 200),
    ({"Accept-Encoding": "gzip"}, 200),
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
async def test_a_spelling_names_the_same_picture(cloudreve: Client, uri: str):
    """Equal File URIs bring the same entity under the same name."""
    plain = await _one(cloudreve)

    other = await cloudreve.resolve(_filled(cloudreve, uri), cloudreve.target.alice)

    assert other.code == 0
    assert other.url.partition("?")[0] == plain.url.partition("?")[0]


async def test_raw_and_encoded_names_are_equal(cloudreve: Client):
    """Percent encoding in either case, or none, names the same file; so does a plus sign in the query."""
    entities = {(await cloudreve.resolve(uri, cloudreve.target.alice)).entity for uri in NON_ASCII}
    header = {"Authorization": f"Bearer {cloudreve.target.alice}"}
    by_plus = await cloudreve.send(
        "GET", "/api/v4/file/thumb?uri=cloudreve://my/%25E6%2597%25A5%25E8%2590%25BD+(1).png", header
    )

    assert entities == {by_plus.entity}


@pytest.mark.parametrize(("uri", "code"), REFUSED)
async def test_a_user_is_refused(cloudreve: Client, uri: str, code: int):
    """What alice cannot have is refused with this code."""
    reply = await cloudreve.resolve(_filled(cloudreve, uri), cloudreve.target.alice)

    assert (reply.status, reply.code) == (200, code)


@pytest.mark.parametrize(("uri", "code"), ANONYMOUS)
async def test_an_anonymous_visitor_is_answered(cloudreve: Client, uri: str, code: int):
    """What anybody may see, and what not."""
    reply = await cloudreve.resolve(_filled(cloudreve, uri))

    assert (reply.status, reply.code) == (200, code)


async def test_the_owner_of_a_private_share_needs_its_password_too(cloudreve: Client):
    """Being the owner opens nothing."""
    reply = await cloudreve.resolve(
        f"cloudreve://{cloudreve.target.private_share}@share/one.png", cloudreve.target.alice
    )

    assert reply.code == 40069


@pytest.mark.parametrize("query", ["uri=%zz", "uri=cloudreve://my/a;b", "URI=cloudreve://my/a", ""])
async def test_a_query_without_a_readable_uri_has_none(cloudreve: Client, query: str):
    """Broken escapes, semicolons and other names count for nothing."""
    reply = await cloudreve.send("GET", f"/api/v4/file/thumb?{query}")

    assert reply.json == {"code": 40001, "msg": "Uri cannot be empty"}


async def test_the_first_of_two_uris_counts(cloudreve: Client):
    """A repeated parameter is ignored."""
    uri = quote(f"cloudreve://{cloudreve.target.share}@share/one.png", safe="")
    reply = await cloudreve.send("GET", f"/api/v4/file/thumb?uri={uri}&uri=x")

    assert reply.code == 0


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("{alice}", "alice"),
        ("Bearer {alice}", "alice"),
        ("bearer {alice}", None),
        ("Bearer  {alice}", None),
        ("Bearer {alice}x", None),
        ("Bearer", None),
        ("Bearer a.b.c", None),
        ("Basic abc", None),
    ],
)
async def test_a_bad_credential_is_nobody(cloudreve: Client, header: str, name: str | None):
    """Whoami asks for a login, and resolve takes the visitor for anonymous: neither says that the token is bad."""
    headers = {"Authorization": header.format(alice=cloudreve.target.alice)}
    whoami = await cloudreve.send("GET", "/api/v4/session/oauth/userinfo", headers)
    mine = await cloudreve.send("GET", "/api/v4/file/thumb?uri=cloudreve://my/album/one.png", headers)
    shared = f"/api/v4/file/thumb?uri=cloudreve://{cloudreve.target.share}@share/one.png"

    assert whoami.json.get("name") == name
    assert whoami.json.get("code") == (None if name else 401)
    assert mine.code == (0 if name else 401)
    assert (await cloudreve.send("GET", shared, headers)).code == 0


async def test_a_refresh_token_is_no_access_token(cloudreve: Client):
    """Where a bad token is nobody's, a good one of the wrong kind is refused, even for a public share and for ping."""
    form = {"email": "alice@example.org", "password": "pass-word-1"}
    token = (await cloudreve.post("/api/v4/session/token", form)).json["data"]["token"]["refresh_token"]
    headers = {"Authorization": f"Bearer {token}"}

    for path in (
        "/api/v4/session/oauth/userinfo",
        "/api/v4/site/ping",
        f"/api/v4/file/thumb?uri=cloudreve://{cloudreve.target.share}@share/one.png",
    ):
        answer = (await cloudreve.send("GET", path, headers)).json
        assert (answer["code"], answer["msg"]) == (40020, "Invalid token type")


@pytest.mark.parametrize(
    ("path", "form", "code", "msg"),
    [
        ("", {"email": "alice@example.org", "password": "wrong-word"}, 40080, "Incorrect password or email address"),
        ("", {"email": "zed@example.org", "password": "wrong-word"}, 40080, "Incorrect password or email address"),
        ("", {}, 40001, "Email cannot be empty"),
        ("", "garbage", 40001, None),
        ("/refresh", {"refresh_token": "garbage"}, 40020, "Failed to issue token pair"),
        ("/refresh", {}, 40001, "RefreshToken cannot be empty"),
    ],
)
async def test_signing_in_with_something_wrong_is_refused(
    cloudreve: Client, path: str, form: object, code: int, msg: str | None
):
    """Wrong, missing and unreadable."""
    answer = (await cloudreve.post(f"/api/v4/session/token{path}", form)).json

    assert answer["code"] == code
    assert msg in {None, answer["msg"]}


async def test_an_access_token_refreshes_nothing(cloudreve: Client):
    """The two kinds cannot stand in for each other."""
    reply = await cloudreve.post("/api/v4/session/token/refresh", {"refresh_token": cloudreve.target.alice})

    assert reply.code == 40020


@pytest.mark.parametrize(("signature", "code"), SIGNATURES)
async def test_a_bad_signature_is_an_answer_200(cloudreve: Client, signature: str, code: int):
    """Time is looked at before the signature itself, and a missing time before both."""
    path = (await _one(cloudreve)).url.partition("?")[0]

    reply = await cloudreve.fetch(f"{path}?sign={signature}")

    assert (reply.status, reply.code) == (200, code)


async def test_a_signature_covers_the_path_and_no_more(cloudreve: Client):
    """Another entity or name is refused; other parameters, and another host, change nothing."""
    url = (await _one(cloudreve)).url
    by_name = url.replace("localhost", "127.0.0.1")

    assert (await cloudreve.fetch(url.replace("/0/one", "/0/two"))).code == 40071
    assert (await cloudreve.fetch(url.replace("/content/", "/content/x"))).code == 40071
    assert (await cloudreve.fetch(by_name + "&thumb=true&x=1")).body.startswith(b"\x89PNG")
    assert (await cloudreve.fetch(by_name)).body.startswith(b"\x89PNG")


@pytest.mark.parametrize(("headers", "status"), CONDITIONS)
async def test_a_picture_can_be_asked_for_conditionally_and_in_part(
    cloudreve: Client, headers: dict[str, str], status: int
):
    """Validators are compared weakly; ranges that cannot be met say so; nothing is ever compressed."""
    resolved = await _one(cloudreve)
    whole = await cloudreve.fetch(resolved.url)

    reply = await cloudreve.send(
        "GET", resolved.url, {name: value.format(entity=resolved.entity) for name, value in headers.items()}
    )

    assert reply.status == status
    assert reply.headers["ETag"] == f'"{resolved.entity}"'
    assert reply.headers["Cache-Control"] == "public, max-age=86400"
    assert "Content-Encoding" not in reply.headers
    assert status not in {200, 206} or reply.body in whole.body


async def test_head_is_for_pictures_only(cloudreve: Client):
    """HEAD of an image URL is answered; HEAD, OPTIONS and POST of resolve lead nowhere."""
    url = (await _one(cloudreve)).url
    head = await cloudreve.send("HEAD", url)

    assert (head.status, head.headers["Content-Type"], head.body) == (200, "image/jpeg", b"")
    assert int(head.headers["Content-Length"]) > 1000
    assert (await cloudreve.send("OPTIONS", url)).status == 200
    for method in ("HEAD", "OPTIONS", "POST"):
        reply = await cloudreve.send(method, "/api/v4/file/thumb?uri=x")
        assert (reply.status, reply.headers["Content-Type"]) == (404, "text/plain")
    assert (await cloudreve.send("GET", "/api/v4/nowhere")).body == b"404 page not found"


async def test_a_fresh_thumbnail_has_two_names_and_one_entity(cloudreve: Client):
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


async def test_every_call_signs_anew_for_the_same_time(cloudreve: Client):
    """Expiry is a time of the site's clock, an hour ahead, and whole seconds of it are in the URL."""
    reply = await _one(cloudreve)

    assert reply.json["data"]["expires"].endswith("Z")
    assert reply.url.rpartition("%3A")[2].isdigit()
    assert set(reply.json["data"]) == {"url", "expires"}


async def test_a_new_upload_makes_a_new_entity(cloudreve: Client):
    """The old one answers 40077 at once, the new one is generated anew."""
    uri = await cloudreve.fresh()
    old = await cloudreve.resolve(uri, cloudreve.target.alice)
    await cloudreve.fresh(uri=uri)

    assert (await cloudreve.fetch(old.url)).code == 40077
    new = await cloudreve.resolve(uri, cloudreve.target.alice)
    assert new.entity != old.entity
    assert "._thumb?" in new.url


async def test_calls_of_a_hopeless_file_fail_together(cloudreve: Client):
    """Where nothing can be drawn no lock is in the way: all get -1, and 40077 from then on."""
    uri = await cloudreve.fresh("txt", b"no picture")

    replies = await cloudreve.target.together([cloudreve.resolve(uri, cloudreve.target.alice) for _ in range(5)])

    assert {reply.code for reply in replies} == {-1}
    assert (await cloudreve.resolve(uri, cloudreve.target.alice)).code == 40077


async def test_a_hint_restores_what_it_was_first_used_for(cloudreve: Client):
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


async def test_a_hint_first_used_in_vain_restores_nothing(cloudreve: Client):
    """What the first use brought is remembered, not what later ones did."""
    share, hint = cloudreve.target.private_share, str(uuid4())
    bare = f"cloudreve://{share}@share/one.png"

    assert (await cloudreve.resolve(bare, hint=hint)).code == 40069
    assert (await cloudreve.resolve(f"cloudreve://{share}:pw123@share/one.png", hint=hint)).code == 0
    assert (await cloudreve.resolve(bare, hint=hint)).code == 40069


@pytest.mark.parametrize("hint", ["garbage", "00000000-0000-0000-0000-000000000000"])
async def test_what_is_no_hint_restores_nothing(cloudreve: Client, hint: str):
    """Neither garbage nor the nil UUID is remembered."""
    share = cloudreve.target.private_share

    assert (await cloudreve.resolve(f"cloudreve://{share}:pw123@share/one.png", hint=hint)).code == 0
    assert (await cloudreve.resolve(f"cloudreve://{share}@share/one.png", hint=hint)).code == 40069


async def test_a_hint_opens_nobody_s_own_files(cloudreve: Client):
    """The state of `my` is kept per user."""
    hint = str(uuid4())
    mine = "cloudreve://my/album/one.png"
    by_id = f"cloudreve://{cloudreve.target.alice_id}@my/album/one.png"

    assert (await cloudreve.resolve(mine, cloudreve.target.alice, hint)).code == 0
    assert (await cloudreve.resolve(mine, None, hint)).code == 401
    assert (await cloudreve.resolve(mine, cloudreve.target.bob, hint)).code == 40016
    assert (await cloudreve.resolve(by_id, cloudreve.target.bob, hint)).code == 403


async def test_a_ticket_that_nobody_asked_for_changes_nothing(cloudreve: Client):
    """A share that is not for sale ignores it."""
    headers = {"X-Cr-Purchase-Ticket": "garbage"}
    uri = f"cloudreve://{cloudreve.target.share}@share/one.png"

    assert (await cloudreve.send("GET", f"/api/v4/file/thumb?uri={uri}", headers)).code == 0
