"""The tier on disk: shared by processes, bounded, and never a wrong byte."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from proxy.cache import disk_file, disk_tier
from proxy.cache.disk_file import Unusable
from proxy.cache.disk_record import Records
from proxy.cache.disk_tier import DiskTier
from proxy.cache.memory_tier import MemoryTier
from proxy.cache.tiers import Tiers
from proxy.domain.entry import Entry
from proxy.domain.grant import Grant
from proxy.domain.picture import Picture
from proxy.domain.refusal import Refusal, RefusalKind
from proxy.domain.source import Source
from tests.cache.conftest import MIB, SITE, Clock, OpenDisk

GRANT = Grant("https://cloud.example.com/x?sign=y", 1795000000.5, "ab12", own=True)
NEWER = Grant("https://cloud.example.com/x?sign=z", 1795003600.5, "ab12", own=True)
REFUSAL = Refusal(RefusalKind.NOT_FOUND, 40016, "0d3cbb4c")
KEYS = ("0123456789abcdef" * 4,)
OTHER_KEYS = ("fedcba9876543210" * 4,)
BODY = b"\x89PNG picture bytes " * 800


def picture(number: int, size: int = 15_000) -> Picture:
    """Make one whose bytes tell which it is."""
    return Picture(f"{number}", "image/png", '"v1"', (b"%08d" % number) * (size // 8))


def minute(_: Entry) -> float:
    return 60.0


async def reopened(tier: DiskTier, open_disk: OpenDisk, **settings: Any) -> DiskTier:  # noqa: ANN401 - of any kind
    await tier.aclose()
    return open_disk(**settings)


async def test_entries_outlive_a_restart(open_disk: OpenDisk) -> None:
    tier = open_disk()
    await tier.multi_set([("g:1", GRANT), ("g:2", REFUSAL), ("p:7", picture(7))], ttl=60.0)
    with capture_logs() as told:
        again = await reopened(tier, open_disk)
    assert await again.multi_get(["g:1", "g:2", "p:7"]) == [GRANT, REFUSAL, picture(7)]
    assert told == []


async def test_pending_writes_are_written_before_the_tier_closes(open_disk: OpenDisk) -> None:
    tier = open_disk()
    tier.set_nowait("g:1", GRANT, 60.0)
    assert await (await reopened(tier, open_disk)).get("g:1") == GRANT


async def test_a_clock_that_moves_ends_entries_after_a_restart_too(open_disk: OpenDisk, clock: Clock) -> None:
    tier = open_disk(now=clock)
    await tier.set("g:1", GRANT, ttl=60.0)
    clock.now += 61.0
    assert await (await reopened(tier, open_disk, now=clock)).get("g:1") is None


async def test_a_change_counts_in_this_process_before_it_is_written(open_disk: OpenDisk) -> None:
    tier = open_disk()
    tier.set_nowait("g:1", GRANT, 60.0)
    tier.set_nowait("g:1", NEWER, 60.0)
    assert await tier.get("g:1") == NEWER
    tier.delete_nowait("g:1")
    assert await tier.get("g:1") is None
    await tier.settle()
    assert await tier.get("g:1") is None


@pytest.mark.parametrize("how_far", ["waiting", "written", "cleared"])
async def test_a_read_under_way_does_not_bring_back_what_is_forgotten_meanwhile(
    open_disk: OpenDisk, monkeypatch: pytest.MonkeyPatch, how_far: str
) -> None:
    tier = open_disk()
    await tier.set("g:1", GRANT, ttl=60.0)
    read, loop, has_read, go_on = tier._read, asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()  # noqa: SLF001

    def slow(key: str) -> Any:  # noqa: ANN401
        found = read(key)
        loop.call_soon_threadsafe(has_read.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        return found

    monkeypatch.setattr(tier, "_read", slow)
    tiers = Tiers(MemoryTier(MIB), [tier])
    reading = asyncio.create_task(tiers.get("g:1", (Grant, Refusal), minute))
    await has_read.wait()
    if how_far == "cleared":
        await tier.clear()
    else:
        tiers.delete_local("g:1")
    if how_far == "written":
        await tier.settle()
    go_on.set()
    assert await reading is None
    assert tiers.get_nowait("g:1") is None


async def test_tiers_find_on_disk_what_memory_has_lost(open_disk: OpenDisk) -> None:
    disk = open_disk()
    await Tiers(MemoryTier(MIB), [disk]).set("p:7", picture(7), 60.0)
    tiers = Tiers(MemoryTier(MIB), [disk])
    assert await tiers.get("p:7", (Picture,), minute) == (picture(7), Source.DISK)
    assert await tiers.get("p:7", (Picture,), minute) == (picture(7), Source.MEMORY)
    await tiers.delete("p:7")
    assert await Tiers(MemoryTier(MIB), [disk]).get("p:7", (Picture,), minute) is None


async def test_an_entry_that_is_read_from_disk_keeps_its_end_there(open_disk: OpenDisk, clock: Clock) -> None:
    """It comes to memory for as long as its reader says, and is not written again."""
    disk = open_disk(now=clock)
    await disk.set("p:7", picture(7), ttl=60.0)
    assert await Tiers(MemoryTier(MIB, clock), [disk]).get("p:7", (Picture,), lambda _: 5.0) is not None
    clock.now += 6.0
    assert await disk.get("p:7") == picture(7)


async def test_a_picture_under_another_s_name_on_disk_is_none(open_disk: OpenDisk) -> None:
    disk = open_disk()
    await disk.set("p:8", picture(7), ttl=60.0)
    assert await Tiers(MemoryTier(MIB), [disk]).get("p:8", (Picture,), minute) is None


async def test_sites_do_not_share_entries(open_disk: OpenDisk) -> None:
    tier = open_disk()
    await tier.set("g:1", GRANT, ttl=60.0)
    other = await reopened(tier, open_disk, site="http://elsewhere:5212")
    assert await other.get("g:1") is None


async def test_the_disk_tier_stays_within_its_bound_and_keeps_what_was_used_lately(
    open_disk: OpenDisk, clock: Clock
) -> None:
    """Four times as many pictures as there is room for; one of them is asked for all along."""
    tier = open_disk(max_bytes=16 * MIB, now=clock)
    await tier.set("p:0", picture(0), ttl=1e6)
    for number in range(1, 4000):
        tier.set_nowait(f"p:{number}", picture(number), 1e6)
        if number % 50 == 0:
            await tier.settle()
            clock.now += 600.0
            assert await tier.get("p:0") == picture(0)
    await tier.settle()
    assert tier.is_up
    assert 6 * MIB < tier.size_bytes <= 12 * MIB
    found = [number for number in range(4000) if await tier.get(f"p:{number}") is not None]
    assert 300 < len(found) < 900
    assert sum(found) / len(found) > 3000, "old ones went first"


async def test_pictures_of_every_size_fill_it_without_an_error(open_disk: OpenDisk) -> None:
    """Free pages lie scattered then, while a picture needs them in a row."""
    sizes, tier = random.Random(5), open_disk(max_bytes=16 * MIB)  # noqa: S311
    for number in range(600):
        tier.set_nowait(f"p:{number}", picture(number, sizes.choice([300, 4000, 15_000, 90_000, 400_000])), 1e6)
        if number % 20 == 0:
            await tier.settle()
    await tier.settle()
    assert tier.is_up
    assert sum([await tier.get(f"p:{number}") is not None for number in range(600)]) > 20


async def test_an_entry_that_is_too_large_deletes_its_predecessor(open_disk: OpenDisk) -> None:
    tier = open_disk(max_bytes=16 * MIB)
    await tier.set("p:7", picture(7), ttl=60.0)
    await tier.set("p:7", picture(7, 2 * MIB), ttl=60.0)
    assert await tier.get("p:7") is None


async def test_a_shorter_entry_in_the_place_of_a_longer_one_is_no_damage(open_disk: OpenDisk) -> None:
    tier = open_disk()
    for number in range(40):
        await tier.set(f"p:{number}", picture(number), ttl=60.0)
        await tier.set(f"p:{number}", picture(number, 2400), ttl=60.0)
    with capture_logs() as told:
        again = await reopened(tier, open_disk)
    assert [await again.get(f"p:{number}") for number in range(40)] == [picture(n, 2400) for n in range(40)]
    assert told == []


async def test_texts_stay_when_pictures_are_evicted(open_disk: OpenDisk, clock: Clock) -> None:
    """They say since when grants count no more; half of the room is theirs here."""
    tier, text = open_disk(max_bytes=16 * MIB, now=clock), "1795000000.5" * 700
    await asyncio.gather(*(tier.set_text(f"c:{number}", text, 1e7) for number in range(500)))
    for number in range(1000):
        clock.now += 10.0
        tier.set_nowait(f"p:{number}", picture(number), 1e7)
        if number % 50 == 0:
            await tier.settle()
    assert [await tier.get_text(f"c:{number}") for number in range(500)] == [text] * 500
    assert await tier.get("c:1") is None, "a text is no entry"


async def test_nothing_is_to_be_read_without_the_key(open_disk: OpenDisk, tmp_path: Path) -> None:
    """No URL, no picture, no text; another key opens nothing, and a former one does."""
    tier = open_disk(keys=KEYS)
    await tier.set("g:1", GRANT, ttl=600.0)
    await tier.set("p:ab12", Picture("ab12", "image/png", '"version"', BODY), ttl=600.0)
    await tier.set_text("s:1", "a session's renewal", 600.0)
    await tier.aclose()
    for path in (tmp_path / "cache").iterdir():
        raw = path.read_bytes()
        for secret in (b"cloud.example.com", b"sign=", b"picture bytes", b"image/png", b"version", b"renewal"):
            assert secret not in raw
    assert await open_disk(keys=OTHER_KEYS, folder=tmp_path / "cache").get("g:1") is None


def test_nobody_can_tell_without_the_key_of_which_file_a_record_is() -> None:
    """Its name is no digest that a reader of the disk could try with the File URIs that come to mind."""
    one, other = Records(SITE, KEYS), Records(SITE, OTHER_KEYS)
    assert set(one.names("g:1")).isdisjoint({*other.names("g:1"), *Records(SITE, ()).names("g:1"), *one.names("g:2")})
    assert Records(SITE, OTHER_KEYS + KEYS).names("g:1") == (*other.names("g:1"), *one.names("g:1"))


async def test_a_former_key_still_opens(open_disk: OpenDisk) -> None:
    tier = open_disk(keys=KEYS)
    for number in range(3):
        await tier.set(f"g:{number}", GRANT, ttl=60.0)
    tier = await reopened(tier, open_disk, keys=OTHER_KEYS + KEYS)
    assert await tier.get("g:1") == GRANT
    await tier.set("g:0", replace(GRANT, picture="newer"), ttl=60.0)
    await tier.delete("g:2")
    tier = await reopened(tier, open_disk, keys=KEYS)
    assert [await tier.get(f"g:{number}") for number in range(3)] == [None, GRANT, None]
    tier = await reopened(tier, open_disk, keys=OTHER_KEYS + KEYS)
    assert await tier.get("g:0") == replace(GRANT, picture="newer")
    assert await (await reopened(tier, open_disk, keys=OTHER_KEYS)).get("g:1") is None


async def test_files_are_the_owner_s_alone(open_disk: OpenDisk, tmp_path: Path) -> None:
    """And so is the directory, where the gateway has made it."""
    await open_disk().set("g:1", GRANT, ttl=60.0)
    folder = tmp_path / "cache"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused(open_disk: OpenDisk, tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ValidationError, match="others than its owner may write"):
        open_disk()
    with pytest.raises(Unusable, match="others than its owner may write"):
        disk_file.open_file(folder, 16 * MIB)


@pytest.mark.parametrize("there", ["a file", "nothing above"])
def test_a_path_that_can_be_no_directory_is_refused(open_disk: OpenDisk, tmp_path: Path, there: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = tmp_path / "file" if there == "a file" else tmp_path / "no" / "cache"
    with pytest.raises(ValidationError, match="no directory" if there == "a file" else "not there"):
        open_disk(folder=folder)


@pytest.mark.parametrize("what", ["writable by others", "a link"])
async def test_a_file_that_others_may_have_written_is_begun_anew(
    open_disk: OpenDisk, tmp_path: Path, what: str
) -> None:
    tier = open_disk()
    await tier.set("g:1", GRANT, ttl=60.0)
    await tier.aclose()
    path, elsewhere = tmp_path / "cache" / "entries.mdb", tmp_path / "elsewhere"
    if what == "a link":
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
    else:
        path.chmod(0o666)
    before = elsewhere.read_bytes() if elsewhere.exists() else b""
    tier = open_disk()
    assert await tier.get("g:1") is None
    assert tier.is_up
    assert (elsewhere.read_bytes() if elsewhere.exists() else b"") == before


async def test_a_file_of_another_version_is_begun_anew(open_disk: OpenDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    tier = open_disk()
    await tier.set("g:1", GRANT, ttl=60.0)
    monkeypatch.setattr(disk_file, "FORMAT", b"thumb-proxy/none")
    again = await reopened(tier, open_disk)
    assert await again.get("g:1") is None
    assert await again.set("g:1", GRANT, ttl=60.0)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_file_that_is_refused_leaves_nothing_open(open_disk: OpenDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a gateway of another version that is using it."""
    await open_disk().aclose()
    before = open_descriptors()
    monkeypatch.setattr(disk_file, "FORMAT", b"thumb-proxy/none")
    monkeypatch.setattr(disk_file, "_renew", lambda *_: None)
    for _ in range(3):
        with pytest.raises(Unusable, match="another version"):
            open_disk()
    assert open_descriptors() == before


async def test_a_file_that_is_larger_than_the_bound_is_begun_anew(open_disk: OpenDisk) -> None:
    tier = open_disk(max_bytes=64 * MIB)
    for number in range(60):
        await tier.set(f"p:{number}", picture(number, 400_000), ttl=60.0)
    again = await reopened(tier, open_disk, max_bytes=16 * MIB)
    assert again.size_bytes == 0
    assert await again.set("g:1", GRANT, ttl=60.0)


def damaged(raw: bytes, kind: str, chance: random.Random) -> bytes:
    """Do to a file what disks, and people, do."""
    pages = len(raw) // 4096
    body = bytearray(raw)
    match kind:
        case "cut":
            return raw[: chance.randrange(len(raw))]
        case "foreign":
            return chance.randbytes(len(raw))
        case "bits":
            for _ in range(200):
                body[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        case "a page":
            start = chance.randrange(pages) * 4096
            body[start : start + 4096] = chance.randbytes(4096)
        case "pages swapped":
            one, two = (chance.randrange(pages) * 4096 for _ in range(2))
            body[one : one + 4096], body[two : two + 4096] = raw[two : two + 4096], raw[one : one + 4096]
        case "heads of pages":
            for _ in range(20):
                body[chance.randrange(pages) * 4096 + chance.randrange(64)] = chance.randrange(256)
    return bytes(body)


@pytest.mark.parametrize("kind", ["cut", "foreign", "bits", "a page", "pages swapped", "heads of pages"])
@pytest.mark.parametrize("keys", [(), KEYS], ids=["plain", "sealed"])
async def test_a_damaged_file_is_a_miss_and_never_a_wrong_byte(
    open_disk: OpenDisk, tmp_path: Path, kind: str, keys: tuple[str, ...]
) -> None:
    chance = random.Random(f"{kind} {keys}")  # noqa: S311
    tier = open_disk(max_bytes=16 * MIB, keys=keys)
    for number in range(120):
        await tier.set(f"p:{number}", picture(number, chance.choice([300, 15_000])), ttl=600.0)
    wanted = await tier.multi_get([f"p:{number}" for number in range(120)])
    await tier.aclose()
    path = tmp_path / "cache" / "entries.mdb"
    raw = path.read_bytes()
    for _ in range(12):
        path.write_bytes(damaged(raw, kind, chance))
        tier = open_disk(max_bytes=16 * MIB, keys=keys)
        found = await tier.multi_get([f"p:{number}" for number in range(120)])
        assert all(entry in (None, right) for entry, right in zip(found, wanted, strict=True))
        await tier.multi_set([(f"p:{number}", picture(number)) for number in range(200)], ttl=600.0)
        found = await tier.multi_get([f"p:{number}" for number in range(200)])
        assert all(entry in (None, picture(number)) for number, entry in enumerate(found))
        await tier.aclose()


@pytest.mark.parametrize("what", ["the lock of LMDB", "our lock"])
async def test_other_files_of_the_directory_may_hold_anything(open_disk: OpenDisk, tmp_path: Path, what: str) -> None:
    tier = open_disk()
    await tier.set("g:1", GRANT, ttl=60.0)
    await tier.aclose()
    (tmp_path / "cache" / ("entries.mdb-lock" if "LMDB" in what else "lock")).write_bytes(os.urandom(8192))
    assert await open_disk().get("g:1") == GRANT


async def test_a_full_disk_is_a_miss(open_disk: OpenDisk, tmp_path: Path) -> None:
    """Entries from before stay or go; nothing old comes back, and later writes work again."""
    tier = open_disk(max_bytes=64 * MIB)
    await tier.multi_set([(f"g:{number}", GRANT) for number in range(50)], ttl=600.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "cache" / "entries.mdb").stat().st_size + 65_536, hard))
    try:
        for number in range(50):
            await tier.multi_set([(f"p:{number}", picture(number)), (f"g:{number}", NEWER)], ttl=600.0)
        found = await tier.multi_get([f"g:{number}" for number in range(50)])
        pictures = await tier.multi_get([f"p:{number}" for number in range(50)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert all(entry in (None, NEWER) for entry in found)
    assert None in pictures
    assert all(entry in (None, picture(number)) for number, entry in enumerate(pictures))
    again = await reopened(tier, open_disk, max_bytes=64 * MIB)
    assert all(entry in (None, NEWER) for entry in await again.multi_get([f"g:{n}" for n in range(50)]))
    assert await again.set("p:7", picture(7), ttl=60.0)
    assert await again.get("p:7") == picture(7)


async def test_a_disk_that_cannot_forget_is_given_up(open_disk: OpenDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deleted entry does not come back, here or after a restart."""
    tier = open_disk()
    await tier.set("g:1", GRANT, ttl=600.0)

    def fail(*_: object) -> None:
        raise lmdb.DiskError("no space")

    monkeypatch.setattr(tier._store, "_commit", fail)  # noqa: SLF001
    with capture_logs() as told:
        await tier.delete("g:1")
    assert not tier.is_up
    assert [entry["log_level"] for entry in told] == ["warning"]
    assert await tier.get("g:1") is None
    assert await (await reopened(tier, open_disk)).get("g:1") is None


async def test_a_disk_that_takes_too_long_to_forget_is_given_up(
    open_disk: OpenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with another process that was stopped in the middle of a write."""
    monkeypatch.setattr(disk_tier, "DELETE_S", 0.05)
    tier = open_disk()
    await tier.set("g:1", GRANT, ttl=600.0)
    with tier._store._file.env.begin(write=True):  # noqa: SLF001 - nobody else writes meanwhile
        await tier.delete("g:1")
        assert not tier.is_up
    assert await (await reopened(tier, open_disk)).get("g:1") is None


async def test_a_file_that_is_removed_is_given_up(open_disk: OpenDisk, tmp_path: Path) -> None:
    """As another process does that cannot forget: nobody goes on reading what it held."""
    tier = open_disk()
    await tier.set("g:1", GRANT, ttl=600.0)
    (tmp_path / "cache" / "entries.mdb").unlink()
    assert await tier.get("g:1") is None
    assert not tier.is_up
