"""Processes that die in the middle of a write, while another reads."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from structlog.testing import capture_logs

from proxy.cache.disk_tier import DiskTier
from proxy.domain.picture import Picture
from tests.cache.conftest import OpenDisk
from tests.cache.disk_writer import MAX_BYTES, NUMBERS, picture

ROOT = Path(__file__).parents[2]
KILLS = 60


async def right(tier: DiskTier) -> int:
    """Count what is found; each has to be what somebody has written."""
    found = await tier.multi_get([f"p:{number}" for number in range(NUMBERS)])
    for number, entry in enumerate(found):
        assert entry is None or isinstance(entry, Picture)
        assert entry is None or entry == picture(number, int(entry.version.strip('"')))
    return sum(entry is not None for entry in found)


async def test_a_writer_killed_again_and_again_leaves_no_wrong_byte(open_disk: OpenDisk, tmp_path: Path) -> None:
    """The reader goes on all the while; afterwards the file is sound and has what was written last."""
    tier, seen, looks = open_disk(max_bytes=MAX_BYTES), 0, 0
    program = [sys.executable, "-m", "tests.cache.disk_writer", str(tmp_path / "cache"), str(KILLS)]
    writer = await asyncio.create_subprocess_exec(*program, cwd=ROOT)
    ended = asyncio.create_task(writer.wait())
    while not ended.done():
        seen, looks = max(seen, await right(tier)), looks + 1
    assert await ended == 0
    assert seen > NUMBERS // 4
    assert looks > KILLS // 4
    assert tier.is_up
    assert await tier.set("p:0", picture(0, 1), ttl=60.0), "no lock is held by the dead"
    await tier.aclose()
    with capture_logs() as told:
        again = open_disk(max_bytes=MAX_BYTES)
    assert told == [], "the file is not begun anew"
    assert await right(again) > NUMBERS // 4


async def test_with_nobody_else_a_killed_writer_s_file_is_taken_over(open_disk: OpenDisk, tmp_path: Path) -> None:
    """Each writer is the first then, and checks what the last has left."""
    program = [sys.executable, "-m", "tests.cache.disk_writer", str(tmp_path / "cache"), str(KILLS // 3)]
    writer = await asyncio.create_subprocess_exec(*program, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    told, _ = await writer.communicate()
    assert writer.returncode == 0
    assert b"begun anew" not in told
    assert await right(open_disk(max_bytes=MAX_BYTES)) > 0
