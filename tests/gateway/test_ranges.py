"""Range requests: one range of a complete picture, on `/thumb` and behind sealed URLs."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from proxy.standin.faults import Drip
from proxy.standin.standin import StandIn
from tests.harness.gateways import PNG, GatewayClient, in_share


@pytest.fixture(params=["/thumb", "sealed URL"])
async def target(request: pytest.FixtureRequest, cloudreve: StandIn, gateway: GatewayClient) -> str:
    """Give the target of a picture, by its File URI or sealed."""
    uri = quote(in_share(cloudreve), safe="")
    if request.param == "/thumb":
        return f"/thumb?uri={uri}"
    sealed = await gateway.send("GET", f"/api/v4/file/thumb?uri={uri}")
    return "/thumb/s/" + sealed.body.decode().partition("/thumb/s/")[2].partition('"')[0]


@pytest.mark.parametrize(
    ("field", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, None),
        ("bytes=-5", -5, None),
        ("bytes=-999999", 0, None),
        ("bytes=7-999999", 7, None),
        ("Bytes=0-0", 0, 1),
    ],
)
async def test_one_range_is_a_part(
    gateway: GatewayClient, target: str, field: str, start: int, end: int | None
) -> None:
    """206 with the fields of the whole, again and again, whether it arrives or is at hand."""
    parts = [await gateway.send("GET", target, {"Range": field}) for _ in range(3)]
    whole = await gateway.send("GET", target)
    size = len(whole.body)
    first, last = slice(start, end).indices(size)[:2]
    for part in parts:
        assert (part.status, part.body) == (206, whole.body[start:end])
        assert part.headers["Content-Range"] == f"bytes {first}-{last - 1}/{size}"
        assert part.headers["Content-Length"] == str(len(part.body))
        assert (part.headers["Content-Type"], part.etag) == (PNG, whole.etag)
    assert (whole.status, whole.headers["Accept-Ranges"]) == (200, "bytes")


@pytest.mark.parametrize("field", ["bytes=0-1,4-5", "bytes=5-2", "lines=1-2", "bytes=", "bytes=a-b", "0-9", "bytes=-"])
async def test_other_ranges_are_ignored(gateway: GatewayClient, target: str, field: str) -> None:
    """Several, other units, and what is none: the whole comes, and is remembered as such."""
    whole = await gateway.send("GET", target)
    for _ in range(3):
        reply = await gateway.send("GET", target, {"Range": field})
        assert (reply.status, reply.body) == (200, whole.body)
        assert "Content-Range" not in reply.headers


@pytest.mark.parametrize("field", ["bytes=999999-", "bytes=999999-1000000", "bytes=-0"])
async def test_a_range_outside_is_refused_with_the_length(gateway: GatewayClient, target: str, field: str) -> None:
    whole = await gateway.send("GET", target)
    for _ in range(3):
        reply = await gateway.send("GET", target, {"Range": field})
        assert (reply.status, reply.problem["status"]) == (416, 416)
        assert reply.headers["Content-Range"] == f"bytes */{len(whole.body)}"


async def test_if_range_compares_strongly(gateway: GatewayClient, target: str) -> None:
    """The picture's ETag lets a part through; another, a weak one and a date bring the whole."""
    whole = await gateway.send("GET", target)
    cases = {whole.etag: 206, '"other"': 200, f"W/{whole.etag}": 200, "Sat, 29 Oct 2094 19:43:31 GMT": 200}
    for value, status in cases.items():
        for _ in range(3):
            reply = await gateway.send("GET", target, {"Range": "bytes=0-9", "If-Range": value})
            assert (reply.status, reply.body) == (status, whole.body[:10] if status == 206 else whole.body)


async def test_if_none_match_comes_first(gateway: GatewayClient, target: str) -> None:
    """A visitor who has the picture needs no part of it (RFC 9110 §13.2.2)."""
    whole = await gateway.send("GET", target)
    reply = await gateway.send("GET", target, {"Range": "bytes=0-9", "If-None-Match": whole.etag})
    assert (reply.status, reply.body) == (304, b"")


async def test_head_knows_no_parts(gateway: GatewayClient, target: str) -> None:
    """Ranges are defined for GET alone (RFC 9110 §14.2); HEAD says that they are to be had."""
    whole = await gateway.send("GET", target)
    head = await gateway.send("HEAD", target, {"Range": "bytes=0-9"})
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(whole.body)))
    assert head.headers["Accept-Ranges"] == "bytes"


async def test_a_part_of_an_arriving_picture_waits_for_the_whole(cloudreve: StandIn, gateway: GatewayClient) -> None:
    drip = Drip()
    cloudreve.fail("fetch", drip, times=1)
    drip.release()
    drip.release()
    uri = in_share(cloudreve)
    part = await gateway.ask(uri, Range="bytes=0-7")
    assert (part.status, part.body) == (206, b"\x89PNG\r\n\x1a\n")
