"""One flight over the processes of one machine: one leads, the others find what it has left."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.cache.disk_tier import DiskTier
from proxy.coalesce.machine_singleflight import MachineSingleflight
from proxy.coalesce.messages import Message, Whole, decode
from proxy.coalesce.work_locks import WorkLocks
from proxy.domain.grant import Grant
from proxy.redis.lease import LeaseHolder
from proxy.settings import Settings
from tests.harness.loaders import text_loader

KEY = "g:1"
GRANT = Grant("https://cloud.example.com/x?sign=y", 4e9, "ab12", own=True)
ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from proxy.coalesce.messages import Message, Whole, decode
from proxy.coalesce.work_locks import WorkLocks
locks = WorkLocks(Path(sys.argv[1]), "site")
assert locks.take(sys.argv[2])
print("taken", flush=True)
sys.stdin.read()
"""


class Process:
    """A process of its own, as far as the kernel's locks can tell; LMDB opens a file but once in one."""

    def __init__(self, path: Path, disk: DiskTier, patience_s: float = 20.0) -> None:
        self.locks = WorkLocks(path, "site")
        self.shared = MachineSingleflight(self.locks, disk, patience_s)
        self.disk = disk
        self.loads = 0
        self.is_kept = True
        self.failure: Exception | None = None
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.looks: list[str] = []

    async def find(self, told: str) -> str | None:
        """Take a text that was told, or look on disk."""
        self.looks.append(told)
        if told:
            return told
        entry = await self.disk.get(KEY)
        return entry.url if isinstance(entry, Grant) else None

    async def load(self) -> str:
        """Do the work when the test allows it."""
        self.loads += 1
        self.began.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        if self.is_kept:
            self.disk.set_nowait(KEY, GRANT, 60.0)
        return GRANT.url

    def share(self) -> asyncio.Task[str]:
        """Begin to want the outcome."""
        return asyncio.create_task(self.shared.share(text_loader(KEY, self.find, self.load)))

    async def is_awaited(self, key: str = KEY) -> None:
        """Wait until somebody waits for what is held here."""
        while not self.locks.is_awaited(key):  # noqa: ASYNC110 - the kernel has no event for it
            await asyncio.sleep(0)


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[DiskTier]:
    given = {"cloudreve": {"url": "http://cloudreve:5212"}, "disk": {"path": str(tmp_path / "cache")}}
    tier = DiskTier.from_settings(Settings.model_validate(given), lambda: 1e9)
    yield tier
    await tier.aclose()


@pytest.fixture
async def processes(disk: DiskTier, tmp_path: Path) -> AsyncIterator[list[Process]]:
    made = [Process(tmp_path / "work", disk) for _ in range(3)]
    yield made
    for one in made:
        await one.shared.aclose()


async def led(processes: list[Process]) -> tuple[asyncio.Task[str], list[asyncio.Task[str]]]:
    """Let the first lead and the others wait."""
    leading = processes[0].share()
    await processes[0].began.wait()
    waiting = [one.share() for one in processes[1:]]
    await processes[0].is_awaited()
    for one in processes:
        one.gate.set()
    return leading, waiting


async def test_one_loads_and_all_have_the_outcome(processes: list[Process]) -> None:
    leading, waiting = await led(processes)
    assert set(await asyncio.gather(leading, *waiting)) == {GRANT.url}
    assert [one.loads for one in processes] == [1, 0, 0]


async def test_an_entry_stored_between_the_read_and_the_lock_is_not_loaded_again(processes: list[Process]) -> None:
    processes[0].disk.set_nowait(KEY, GRANT, 60.0)
    assert await processes[1].share() == GRANT.url
    assert processes[1].loads == 0


async def test_nobody_else_leads_before_the_outcome_is_on_disk(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader has its outcome at once; the lock is free when the write is done."""
    first, second, _ = processes
    loop, may_write = asyncio.get_running_loop(), asyncio.Event()
    commit = first.disk._writes._commit  # noqa: SLF001 - the thread's part

    def slow(changes: dict[str, object]) -> None:
        asyncio.run_coroutine_threadsafe(may_write.wait(), loop).result()
        commit(changes)  # type: ignore[arg-type]

    monkeypatch.setattr(first.disk._writes, "_commit", slow)  # noqa: SLF001
    first.gate.set()
    assert await first.share() == GRANT.url
    assert not second.locks.take(KEY)
    may_write.set()
    while not second.locks.take(KEY):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    second.locks.let_go(KEY)
    assert await second.share() == GRANT.url
    assert second.loads == 0


async def test_an_outcome_that_is_not_kept_is_told_to_those_who_waited(processes: list[Process]) -> None:
    """And to nobody who comes later: it may be another by then."""
    for one in processes:
        one.is_kept = False
    leading, waiting = await led(processes[:2])
    assert await asyncio.gather(leading, *waiting) == [GRANT.url] * 2
    assert [one.loads for one in processes] == [1, 0, 0]
    late = processes[2]
    late.gate.set()
    assert await late.share() == GRANT.url
    assert late.loads == 1


async def test_a_process_that_began_to_wait_after_the_work_had_ended_hears_nothing_of_it(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture that was just seen then may have been replaced before it came."""
    for one in processes:
        one.is_kept = False
    second, late = processes[1:]
    has_heard, may_go_on, find = asyncio.Event(), asyncio.Event(), second.find

    async def slowly(told: str) -> str | None:
        has_heard.set()
        await may_go_on.wait()
        return await find(told)

    monkeypatch.setattr(second, "find", slowly)
    leading, waiting = await led(processes[:2])
    await has_heard.wait()
    coming = late.share()
    await second.is_awaited()
    may_go_on.set()
    late.gate.set()
    assert set(await asyncio.gather(leading, *waiting, coming)) == {GRANT.url}
    assert [one.loads for one in processes] == [1, 0, 1]


async def test_a_process_that_has_only_heard_tells_nobody(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what was seen once would be handed on for as long as others come, however old it is by then."""
    told: list[Message | None] = []
    set_text_nowait = DiskTier.set_text_nowait

    def seen(self: DiskTier, key: str, text: str, ttl_s: float) -> asyncio.Future[None]:
        told.append(decode(text.partition(" ")[2].encode("latin-1")))
        return set_text_nowait(self, key, text, ttl_s)

    monkeypatch.setattr(DiskTier, "set_text_nowait", seen)
    for one in processes:
        one.is_kept = False
    leading = processes[0].share()
    await processes[0].began.wait()
    waiting = [one.share() for one in processes[1:]]
    while not all(one.locks._waiting for one in processes[1:]):  # noqa: SLF001, ASYNC110 - as above
        await asyncio.sleep(0)
    for one in processes:
        one.gate.set()
    assert await asyncio.gather(leading, *waiting) == [GRANT.url] * 3
    assert [one.loads for one in processes] == [1, 0, 0]
    for one in processes:
        await one.shared._background_tasks.aclose(10.0)  # noqa: SLF001 - all locks have been let go of
    assert told == [Whole(GRANT.url.encode())]


async def test_a_leader_that_fails_is_succeeded_at_once(processes: list[Process]) -> None:
    processes[0].failure = RuntimeError("no luck")
    leading, waiting = await led(processes)
    with pytest.raises(RuntimeError, match="no luck"):
        await leading
    assert set(await asyncio.gather(*waiting)) == {GRANT.url}
    assert sum(one.loads for one in processes) == 2


async def test_a_leader_that_is_killed_is_succeeded_at_once(disk: DiskTier, tmp_path: Path) -> None:
    """The kernel frees its locks; nothing has to run out."""
    path, program = tmp_path / "work", [sys.executable, "-c", HOLDER]
    holder = await asyncio.create_subprocess_exec(
        *program, str(tmp_path / "work"), KEY, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"taken\n"
    one = Process(path, disk)
    one.gate.set()
    waiting = one.share()
    await one.is_awaited()
    assert one.loads == 0
    holder.kill()
    assert await waiting == GRANT.url
    await holder.communicate()
    await one.shared.aclose()


async def test_a_leader_that_hangs_is_not_waited_for_for_ever(disk: DiskTier, tmp_path: Path) -> None:
    holder = WorkLocks(tmp_path / "work", "site")
    assert holder.take(KEY)
    one = Process(tmp_path / "work", disk, patience_s=0.0)
    one.gate.set()
    assert await one.share() == GRANT.url
    assert not one.locks.take(KEY)
    await one.shared.aclose()
    holder.close()


async def test_without_the_disk_each_loads_for_itself(processes: list[Process]) -> None:
    """Nothing that one loads could reach the others."""
    processes[0].disk._store.abandon("a test")  # noqa: SLF001
    loading = [one.share() for one in processes]
    for one in processes:
        await one.began.wait()
        one.gate.set()
    assert await asyncio.gather(*loading) == [GRANT.url] * 3


async def test_turns_are_taken_until_one_opens_the_way(processes: list[Process]) -> None:
    first, *others = processes
    together = asyncio.Barrier(len(others))

    async def work() -> str:
        await together.wait()
        return "open"

    leading = asyncio.create_task(first.shared.take_turns("t:1", first.load, GRANT.url.__eq__))
    await first.began.wait()
    turns = [asyncio.create_task(one.shared.take_turns("t:1", work, "open".__eq__)) for one in others]
    await first.is_awaited("t:1")
    assert together.n_waiting == 0
    first.gate.set()
    assert await asyncio.gather(leading, *turns) == [GRANT.url, "open", "open"]


async def test_locks_of_other_sites_are_others(tmp_path: Path) -> None:
    one, other = WorkLocks(tmp_path / "work", "site"), WorkLocks(tmp_path / "work", "other site")
    assert one.take(KEY)
    assert not one.take(KEY)
    assert other.take(KEY)
    one.let_go(KEY)
    assert one.take(KEY)
    one.close()
    other.close()


async def test_one_process_leads_in_a_long_load_until_it_leaves(processes: list[Process]) -> None:
    first, second = processes[0].shared, processes[1].shared
    async with first.lead("w:1") as one, second.lead("w:1") as other, second.lead("w:2") as elsewhere:
        assert [one, other, elsewhere] == [LeaseHolder.MINE, LeaseHolder.OTHERS, LeaseHolder.MINE]
    async with second.lead("w:1") as other:
        assert other is LeaseHolder.MINE
