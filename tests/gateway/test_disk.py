"""Gateways with a tier on disk and no Redis: what was there before a restart is there afterwards."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from proxy.cache.disk_tier import DiskTier
from proxy.standin.standin import StandIn
from tests.gateway.test_changes import SITE, upload
from tests.harness.gateways import ONE, TWO, Hours, Reply, gateway_of, in_share

SECRET = "0123456789abcdef" * 4


async def test_a_restart_costs_no_call_until_grants_end(cloudreve: StandIn, hours: Hours, tmp_path: Path) -> None:
    """Each picture is shown from disk; then one resolve each, and no picture is fetched again."""
    disk, names = {"path": str(tmp_path / "cache")}, ("one.png", "two.png")
    async with gateway_of(cloudreve.own_url, disk=disk) as gateway:
        before = [await gateway.ask(in_share(cloudreve, name)) for name in names]
    cloudreve.calls.forget()
    async with gateway_of(cloudreve.own_url, disk=disk) as gateway:
        after = [await gateway.ask(in_share(cloudreve, name)) for name in names]
        assert [gateway.count("lookups_total", entry=entry, source="disk") for entry in ("grant", "picture")] == [2, 2]
    assert [reply.body for reply in after] == [reply.body for reply in before]
    assert {reply.headers["Cache-Status"].partition("detail=")[2] for reply in after} == {"disk"}
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (0, 0)


async def test_a_change_outlives_a_restart(cloudreve: StandIn, tmp_path: Path) -> None:
    sections: dict[str, Any] = {"server": SITE, "disk": {"path": str(tmp_path / "cache")}}
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        before = await gateway.ask(ONE, cloudreve.token())
        await upload(gateway, cloudreve.token())
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        after = await gateway.ask(ONE, cloudreve.token())
    assert after.etag != before.etag


async def test_pictures_on_disk_are_shown_without_a_thread_once_they_are_known(
    cloudreve: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory has no room for them; the same bytes as before, from the same tier."""
    reads, read = [], DiskTier._read  # noqa: SLF001 - what a thread does

    def noted(tier: DiskTier, key: str) -> object:
        reads.append(key)
        return read(tier, key)

    monkeypatch.setattr(DiskTier, "_read", noted)
    sections: dict[str, Any] = {"disk": {"path": str(tmp_path / "cache")}, "memory": {"max_bytes": 6_000}}
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        first = await gateway.ask(in_share(cloudreve))
        for _ in range(4):
            await gateway.ask(in_share(cloudreve))
        reads.clear()
        again = [await gateway.ask(in_share(cloudreve)) for _ in range(5)]
    assert [reply.body for reply in again] == [first.body] * 5
    assert {reply.headers["Cache-Status"].partition("detail=")[2] for reply in again} == {"disk"}
    assert reads == []


async def test_a_sign_out_outlives_a_restart(cloudreve: StandIn, tmp_path: Path) -> None:
    """Without a Redis and without a file of its own: it is kept beside the pictures."""
    sections: dict[str, Any] = {"disk": {"path": str(tmp_path / "cache")}, "seal": {"keys": [SECRET]}}
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        begun = await gateway.send("POST", "/session", {"Authorization": f"Bearer {cloudreve.token()}"})
        cookie = {"Cookie": begun.headers["Set-Cookie"].partition(";")[0]}
        where = "/thumb?uri=" + quote(ONE, safe="")
        assert (await gateway.send("GET", where, cookie)).status == 200
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        assert (await gateway.send("GET", where, cookie)).status == 200
        assert (await gateway.send("DELETE", "/session", cookie)).status == 204
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        assert (await gateway.send("GET", where, cookie)).status == 401


async def used(cloudreve: StandIn, folder: Path, **seal: object) -> list[Reply]:
    """Let visitors see a private and a shared picture, sign out, and change a file; then end the gateway."""
    sections: dict[str, Any] = {"server": SITE, "disk": {"path": str(folder)}, "seal": seal}
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        token = cloudreve.token()
        replies = [await gateway.ask(ONE, token), await gateway.ask(in_share(cloudreve))]
        begun = await gateway.send("POST", "/session", {"Authorization": f"Bearer {token}"})
        cookie = {"Cookie": begun.headers["Set-Cookie"].partition(";")[0]}
        await gateway.send("DELETE", "/session", cookie)
        await upload(gateway, token, TWO)
    return replies


async def test_a_reader_of_the_disk_gets_nothing_that_opens_a_picture(cloudreve: StandIn, tmp_path: Path) -> None:
    """No bytes of a picture, no URL, token, name or address in any file; and a gateway with another key has nothing."""
    folder = tmp_path / "cache"
    replies = await used(cloudreve, folder, keys=[SECRET])
    raw = b"\0".join(path.read_bytes() for path in sorted(folder.iterdir()))
    token, _, _ = cloudreve.token().encode().partition(b".")
    told = [token, b"sign=", b"/api/v4/", b"cloudreve", b"one.png", b"album", b"alice", b"image/", b"127.0.0.1"]
    assert [secret for secret in told if secret in raw] == []
    for reply in replies:
        pieces = [reply.body[at : at + 16] for at in range(0, len(reply.body) - 16, 16)]
        assert not any(piece in raw for piece in pieces if len(set(piece)) > 8)
    await cloudreve.stop()
    sections: dict[str, Any] = {"disk": {"path": str(folder)}, "seal": {"keys": [SECRET[::-1]]}}
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        assert (await gateway.ask(in_share(cloudreve))).status == 503


@pytest.mark.parametrize("seed", range(3))
async def test_with_damaged_files_the_right_pictures_are_shown(cloudreve: StandIn, tmp_path: Path, seed: int) -> None:
    """To all of them at once: cut, emptied, or with bytes of chance in them."""
    folder, chance = tmp_path / "cache", Random(seed)  # noqa: S311 - any damage will do
    _, before = await used(cloudreve, folder, keys=[SECRET])
    for path in sorted(folder.iterdir()):
        body = bytearray(path.read_bytes())
        for _ in range(chance.randrange(1, 40) if body else 0):
            body[chance.randrange(len(body))] = chance.randrange(256)
        path.write_bytes(bytes(body[: chance.choice((0, len(body) // 2, len(body)))]))
    sections: dict[str, Any] = {"server": SITE, "disk": {"path": str(folder)}, "seal": {"keys": [SECRET]}}
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        after = [await gateway.ask(in_share(cloudreve)) for _ in range(3)]
        assert [(reply.status, reply.body) for reply in after] == [(200, before.body)] * 3
        shown = await gateway.ask(TWO, cloudreve.token())
        assert shown.status == 200
        await upload(gateway, cloudreve.token(), TWO)
        assert (await gateway.ask(TWO, cloudreve.token())).etag != shown.etag
