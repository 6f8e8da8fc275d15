"""Every visitor with every picture, and the answer to each; one table for the stand-in and for a real Cloudreve."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from proxy.domain.response_fields import VARY, VARY_PUBLIC
from tests.harness.cloudreve_targets import Target
from tests.harness.gateways import PNG, GatewayClient, Reply
from tests.harness.sites import Site, expired, thumb

ONE = "cloudreve://my/album/one.png"
HINT = "11111111-2222-4333-8444-555555555555"
NO_FILE = frozenset({40016})
NO_THUMBNAIL = frozenset({-1, 40077})


@dataclass(frozen=True)
class Row:
    """One question and its answer; `{names}` in the URI stand for what differs between sites."""

    id: str
    uri: str
    status: int
    who: str = ""
    """alice, bob, garbage or expired; empty for anonymous."""
    codes: frozenset[int] = frozenset()
    sharing: str = "private"
    """The `Cache-Control` of the answer, when it is a picture."""
    headers: dict[str, str] = field(default_factory=dict)


ROWS = (
    Row("the owner by token", ONE, 200, "alice"),
    Row("the owner by their own id", "cloudreve://{alice_id}@my/album/one.png", 200, "alice"),
    Row("anonymous on my", ONE, 401, "", frozenset({401})),
    Row("a garbage token", ONE, 401, "garbage"),
    Row("a garbage token on a public share", "cloudreve://{share}@share/one.png", 401, "garbage"),
    Row("an expired token", ONE, 401, "expired"),
    Row("an expired token on a public share", "cloudreve://{share}@share/one.png", 401, "expired"),
    Row("another user has no such file", ONE, 404, "bob", NO_FILE),
    Row("another user by the owner's id", "cloudreve://{alice_id}@my/album/one.png", 403, "bob", frozenset({403})),
    Row("a public share, anonymous", "cloudreve://{share}@share/one.png", 200, sharing="public"),
    Row("a public share, by its owner", "cloudreve://{share}@share/one.png", 200, "alice"),
    Row("a public share, by another user", "cloudreve://{share}@share/one.png", 200, "bob"),
    Row("a share of a single file", "cloudreve://{file_share}@share/one.png", 200, sharing="public"),
    Row("the right password", "cloudreve://{private_share}:pw123@share/two.png", 200, sharing="public"),
    Row("a wrong password", "cloudreve://{private_share}:nope@share/two.png", 403, "", frozenset({40069})),
    Row("no password", "cloudreve://{private_share}@share/two.png", 403, "", frozenset({40069})),
    Row("no such share", "cloudreve://zzzz@share/two.png", 404, "", frozenset({404, 40016})),
    Row("a text", "cloudreve://my/notes.txt", 404, "alice", NO_THUMBNAIL),
    Row("a broken picture", "cloudreve://my/broken.jpg", 404, "alice", NO_THUMBNAIL),
    Row("a folder", "cloudreve://my/album", 404, "alice", NO_THUMBNAIL),
    Row("no such file", "cloudreve://my/nope.jpg", 404, "alice", NO_FILE),
    Row("another case of a name", "cloudreve://my/album/ONE.png", 404, "alice", NO_FILE),
    Row("an empty uri", "", 400, "alice"),
    Row("no File URI", "not a uri", 400, "alice"),
    Row("an unknown file system", "cloudreve://x:secret@nofs/a", 400, "alice"),
    Row("a non-ASCII name, raw", "cloudreve://my/日落 (1).png", 200, "alice"),
    Row("a non-ASCII name, encoded", "cloudreve://my/%E6%97%A5%E8%90%BD%20%281%29.png", 200, "alice"),
    Row(
        "a superfluous ticket",
        "cloudreve://{share}@share/one.png",
        200,
        sharing="public",
        headers={"X-Cr-Purchase-Ticket": "garbage"},
    ),
    Row("a superfluous password", "cloudreve://{share}:any@share/one.png", 200, sharing="public"),
    Row("a hint that is none", ONE, 200, "alice", headers={"X-Cr-Context-Hint": "not a UUID"}),
    Row("another validator", ONE, 200, "alice", headers={"If-None-Match": '"another"'}),
    Row("a validator and no right", ONE, 401, "", frozenset({401}), headers={"If-None-Match": "*"}),
    Row("credentials of another kind", ONE, 401, "", frozenset({401}), headers={"Authorization": "Basic YWxpY2U6cA=="}),
)

SPELLINGS = (
    "cloudreve://my/album/one.png?name=foo&type=folder",
    "CLOUDREVE://MY/album/one.png",
    "cloudreve://my//album/./one.png",
    "cloudreve://my/x/../album/one.png/",
    "cloudreve://my/%61lbum/one%2Epng",
    "cloudreve://my/album/one.png#frag",
)


def told(row: Row, target: Target) -> tuple[str, dict[str, str]]:
    """Put the site's names into a row: the path to ask, and the headers to ask with."""
    names = {name: getattr(target, name) for name in ("alice_id", "share", "private_share", "file_share")}
    tokens = {"alice": target.alice, "bob": target.bob, "garbage": "garbage", "expired": expired(target.alice)}
    credential = {"Authorization": f"Bearer {tokens[row.who]}"} if row.who else {}
    return thumb(row.uri.format(**names)), credential | row.headers


def bearer(target: Target) -> dict[str, str]:
    return {"Authorization": f"Bearer {target.alice}"}


def check_picture(reply: Reply, sharing: str) -> None:
    """Expect what every picture comes with."""
    assert (reply.headers["Content-Type"], len(reply.body)) == (PNG, int(reply.headers["Content-Length"]))
    assert reply.body.startswith(b"\x89PNG")
    assert reply.headers["Cache-Control"].startswith(f"{sharing}, max-age=")
    assert 0 < reply.max_age_s <= 3600
    assert reply.etag.strip('"').isalnum()
    check_safe(reply)


def check_safe(reply: Reply) -> None:
    is_public = reply.headers["Cache-Control"].startswith("public")
    varied = VARY_PUBLIC if is_public else VARY
    what = f"{varied}, Accept" if reply.status < 400 else f"{VARY}, Accept, Origin"
    assert reply.headers.getall("Vary") == [what]  # type: ignore[attr-defined]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert reply.headers["Server"] == "thumb-proxy"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_each_visitor_is_told_the_truth(site: Site, site_gateway: GatewayClient, row: Row) -> None:
    """The status is true, the picture comes with honest headers, and a refusal with Cloudreve's code."""
    path, headers = told(row, site.target)
    reply = await site_gateway.send("GET", path, headers)
    assert reply.status == row.status
    if reply.status == 200:
        check_picture(reply, row.sharing)
    else:
        check_safe(reply)
        assert reply.problem.get("code") in (row.codes or {None})
        assert bool(row.codes) == ("correlation_id" in reply.problem)
        assert (reply.status == 401) == ("WWW-Authenticate" in reply.headers)
    head = await site_gateway.send("HEAD", path, headers)
    assert (head.status, head.body) == (reply.status, b"")
    varying = {"Date", "Cache-Status", "Cache-Control", "Content-Length", "X-Request-ID"}  # ids differ, also in length
    assert set(head.headers) == set(reply.headers)
    assert {n: v for n, v in head.headers.items() if n not in varying} == {
        n: v for n, v in reply.headers.items() if n not in varying
    }


@pytest.mark.parametrize(("query", "told"), [("", "there are 0"), ("?uri=a&uri=b", "there are 2"), ("?URI=a", "are 0")])
async def test_one_uri_has_to_be_named(site: Site, site_gateway: GatewayClient, query: str, told: str) -> None:
    reply = await site_gateway.send("GET", f"/thumb{query}", bearer(site.target))
    assert reply.status == 400
    assert told in reply.problem["detail"]


async def test_spellings_of_one_uri_share_one_cache_entry(site: Site, site_gateway: GatewayClient) -> None:
    """After the first of them all others hit, with the same validator."""
    first = await site_gateway.send("GET", thumb(ONE), bearer(site.target))
    for spelling in SPELLINGS:
        reply = await site_gateway.send("GET", thumb(spelling), bearer(site.target))
        assert (reply.is_hit, reply.etag, reply.body) == (True, first.etag, first.body), spelling


async def test_a_validator_spares_its_owner_the_bytes_and_helps_nobody_else(
    site: Site, site_gateway: GatewayClient
) -> None:
    """Strong, weak, in a list or `*`: 304 with the headers of 200; bob, who has no such file, still hears 404."""
    first = await site_gateway.send("GET", thumb(ONE), bearer(site.target))
    for validator in (first.etag, f"W/{first.etag}", f'"x", W/{first.etag}', "*"):
        reply = await site_gateway.send("GET", thumb(ONE), {**bearer(site.target), "If-None-Match": validator})
        assert (reply.status, reply.body, reply.etag) == (304, b"", first.etag)
        assert reply.headers["Cache-Control"].startswith("private, max-age=")
        check_safe(reply)
        stranger = {"Authorization": f"Bearer {site.target.bob}", "If-None-Match": validator}
        assert (await site_gateway.send("GET", thumb(ONE), stranger)).status == 404


async def test_a_hint_never_widens_a_shares_grant(site: Site, site_gateway: GatewayClient) -> None:
    """Cloudreve re-opens a share for a hint it has seen with the password; through the gateway nothing is opened."""
    private = site.target.private_share
    hint = {"X-Cr-Context-Hint": HINT}
    opened = await site_gateway.send("GET", thumb(f"cloudreve://{private}:pw123@share/two.png"), hint)
    assert opened.status == 200
    for uri in (f"cloudreve://{private}@share/two.png", f"cloudreve://{private}:x@share/three.png"):
        reply = await site_gateway.send("GET", thumb(uri), hint)
        assert (reply.status, reply.problem["code"]) == (403, 40069)


async def test_a_hint_of_one_user_opens_nothing_to_another(site: Site, site_gateway: GatewayClient) -> None:
    """With one's own files it is passed on, and Cloudreve keeps what it remembers of it per user."""
    uri = thumb(f"cloudreve://{site.target.alice_id}@my/album/one.png")
    hint = {"X-Cr-Context-Hint": "22222222-2222-4333-8444-555555555555"}
    assert (await site_gateway.send("GET", uri, {**bearer(site.target), **hint})).status == 200
    stranger = {"Authorization": f"Bearer {site.target.bob}", **hint}
    assert [(await site_gateway.send("GET", uri, who)).status for who in (stranger, hint)] == [403, 401]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_not_allowed(site: Site, site_gateway: GatewayClient, method: str) -> None:
    reply = await site_gateway.send(method, thumb(ONE), bearer(site.target))
    assert reply.status == 405
    assert {"GET", "HEAD"} <= set(reply.headers["Allow"].split(", "))
    assert method not in reply.headers["Allow"]
    assert reply.problem["title"] == "Method Not Allowed"
