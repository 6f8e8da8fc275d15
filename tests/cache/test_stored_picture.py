"""Pictures on disk that were read before: read again at once, or not at all, and never a wrong byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.cache import disk_store
from proxy.cache.disk_extents import Extent
from proxy.cache.disk_seal import NONCE_END
from proxy.cache.disk_tier import DiskTier
from proxy.cache.stored_picture import StoredPicture
from proxy.domain.picture import Picture
from tests.cache.conftest import Clock, OpenDisk

KEY = "p:7"
NOW = 1000.0
SIZES = (100, 3_000, 15_000, 200_000)


def picture(number: int = 7, size: int = 15_000, version: str = '"v1"') -> Picture:
    """Make one whose bytes tell which it is."""
    return Picture(f"{number}", "image/png", version, (b"%08d" % number) * (size // 8))


async def stored(tier: DiskTier, kept: Picture | None = None) -> StoredPicture:
    """Keep a picture, read it, and give it as one to be read without waiting."""
    kept = kept or picture()
    await tier.set(f"p:{kept.id}", kept, ttl=600.0)
    assert await tier.get(f"p:{kept.id}") == kept
    found = tier.stored(f"p:{kept.id}")
    assert found is not None
    return found


def shown(found: StoredPicture) -> bytes | None:
    body = found.read(NOW)
    return bytes(body) if body is not None else None


def extent_of(found: StoredPicture) -> Extent:
    extent = found._extent  # noqa: SLF001 - what a test damages
    assert isinstance(extent, Extent)
    return extent


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", [(), ("0123456789abcdef" * 4,)])
async def test_a_picture_that_was_read_is_read_again_without_waiting(
    open_disk: OpenDisk, clock: Clock, size: int, keys: tuple[str, ...]
) -> None:
    found = await stored(open_disk(now=clock, keys=keys), picture(size=size))
    for _ in range(3):
        assert shown(found) == picture(size=size).body
    assert found.head == picture(size=size).head


async def test_a_disk_that_would_have_to_be_waited_for_is_not(
    open_disk: OpenDisk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says so, and gives nothing or a part; the picture stays good for another time."""
    found, preadv = await stored(open_disk(now=clock)), os.preadv

    def would_block(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", would_block)
    assert found.read(NOW) is None
    monkeypatch.setattr(os, "preadv", lambda file, parts, offset, flags: preadv(file, [parts[0][:99]], offset, flags))
    assert found.read(NOW) is None
    monkeypatch.setattr(os, "preadv", preadv)
    assert shown(found) == picture().body


async def test_the_kernel_is_asked_not_to_wait(
    open_disk: OpenDisk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, preadv, asked = await stored(open_disk(now=clock)), os.preadv, []

    def noted(file: int, parts: object, offset: int, flags: int) -> int:
        asked.append(flags)
        return preadv(file, parts, offset, flags)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", noted)
    assert shown(found) == picture().body
    assert asked == [os.RWF_NOWAIT]


@pytest.mark.parametrize("how", ["forgotten", "replaced", "cleared", "given up"])
async def test_a_picture_deleted_by_this_process_is_gone_at_once(open_disk: OpenDisk, clock: Clock, how: str) -> None:
    tier = open_disk(now=clock)
    found = await stored(tier)
    if how == "forgotten":
        tier.delete_nowait(KEY)
    elif how == "replaced":
        tier.set_nowait(KEY, picture(version='"v2"'), 600.0)
    elif how == "cleared":
        await tier.clear()
    else:
        tier._store.abandon("a test")  # noqa: SLF001
    assert found.read(NOW) is None


async def test_a_file_that_another_process_has_given_up_is_not_read_at_once_either(
    open_disk: OpenDisk, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not forget there what it had to; that is noticed within `LOOK_S`, for which the other one waits."""
    tier = open_disk(now=clock)
    found = await stored(tier)
    assert found.read(NOW) is not None
    (tmp_path / "cache" / "entries.mdb").unlink()
    monkeypatch.setattr(disk_store, "LOOK_S", 0.0)
    assert found.read(NOW) is None
    assert not tier.is_up


async def test_a_stored_picture_ends_with_its_time_and_is_looked_up_anew_now_and_then(
    open_disk: OpenDisk, clock: Clock
) -> None:
    """So that its use is noted: what is used stays."""
    found = await stored(open_disk(now=clock))
    assert found.read(NOW + 299.0) is not None
    assert found.read(NOW + 300.0) is None


@pytest.mark.parametrize("where", [5, 20, 7_000, -1])
async def test_damaged_bytes_do_not_open(open_disk: OpenDisk, clock: Clock, where: int) -> None:
    tier = open_disk(now=clock)
    found = await stored(tier)
    extent = extent_of(found)
    offset = extent.offset + where % extent.length
    with (tier._store._file.path).open("r+b") as file:  # noqa: SLF001
        file.seek(offset)
        [byte] = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    assert found.read(NOW) is None
    assert found.is_over


async def test_another_record_in_its_place_does_not_open(open_disk: OpenDisk, clock: Clock) -> None:
    """Though it is sound and of the same length: it is sealed for its own key."""
    tier = open_disk(now=clock)
    found, other = await stored(tier), await stored(tier, picture(8))
    with (tier._store._file.path).open("r+b") as file:  # noqa: SLF001
        file.seek(extent_of(other).offset)
        record = file.read(extent_of(other).length)
        file.seek(extent_of(found).offset)
        file.write(record)
    assert found.read(NOW) is None
    assert shown(other) == picture(8).body


async def test_another_version_in_its_place_is_not_shown(open_disk: OpenDisk, clock: Clock) -> None:
    tier = open_disk(now=clock)
    found = await stored(tier)
    name, *_ = tier._records.names(KEY)  # noqa: SLF001
    newer = tier._records.record(name, picture(version='"v2"'), NOW + 600.0).value  # noqa: SLF001
    assert len(newer) == NONCE_END + extent_of(found).length
    with (tier._store._file.path).open("r+b") as file:  # noqa: SLF001
        file.seek(extent_of(found).offset - NONCE_END)
        file.write(newer)
    assert found.read(NOW) is None


async def test_without_a_ruler_in_the_mapping_nothing_is_read_at_once(
    open_disk: OpenDisk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the system knows no reads that do not wait: threads read then."""
    monkeypatch.setattr("proxy.cache.disk_extents._NOWAIT", 0)
    tier = open_disk(now=clock)
    await tier.set(KEY, picture(), ttl=600.0)
    assert await tier.get(KEY) == picture()
    assert tier.stored(KEY) is None
