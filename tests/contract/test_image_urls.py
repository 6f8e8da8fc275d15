"""Image URLs: signatures, conditions, ranges, methods."""

from __future__ import annotations

import pytest

from tests.harness.cloudreve_targets import Client, Reply

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


async def _one(cloudreve: Client) -> Reply:
    """Resolve alice's one.png, whose thumbnail exists for certain the second time."""
    await cloudreve.resolve("cloudreve://my/album/one.png", cloudreve.target.alice)
    return await cloudreve.resolve("cloudreve://my/album/one.png", cloudreve.target.alice)


@pytest.mark.parametrize(("signature", "code"), SIGNATURES)
async def test_a_bad_signature_is_an_answer_200(cloudreve: Client, signature: str, code: int) -> None:
    """Time is looked at before the signature itself, and a missing time before both."""
    path = (await _one(cloudreve)).url.partition("?")[0]

    reply = await cloudreve.fetch(f"{path}?sign={signature}")

    assert (reply.status, reply.code) == (200, code)


async def test_a_signature_covers_the_path_and_no_more(cloudreve: Client) -> None:
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
) -> None:
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


async def test_head_is_for_pictures_only(cloudreve: Client) -> None:
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


async def test_every_call_signs_anew_for_the_same_time(cloudreve: Client) -> None:
    """Expiry is a time of the site's clock, an hour ahead, and whole seconds of it are in the URL."""
    reply = await _one(cloudreve)

    assert reply.json["data"]["expires"].endswith("Z")
    assert reply.url.rpartition("%3A")[2].isdigit()
    assert set(reply.json["data"]) == {"url", "expires"}
