"""`thumb-proxy warm`: warms one folder, with a progress bar and a summary."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from proxy.domain.errors import ProxyError
from proxy.domain.file_uri import FileUri
from proxy.observe.log import configure
from proxy.settings import LogSettings
from proxy.warm.kit import Kit, told
from proxy.warm.walk import CredentialsOf
from proxy.warm.warmer import Progress as Count

DONE, FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all is kept; some failed, or not all could be listed; there is nothing to do it with; Ctrl-C."""


class Wanted(NamedTuple):
    """The options of the command line."""

    uri: str
    account: str | None
    is_recursive: bool
    at_a_time: int


def run(log: LogSettings, opened: AbstractAsyncContextManager[Kit], wanted: Wanted) -> int:
    """Warm a folder, errors alone being logged; give the exit code."""
    writer = configure(log.model_copy(update={"level": "error", "format": "console"}))
    try:
        return asyncio.run(warm_folder(opened, wanted, Console(stderr=True)))
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        writer.close()


async def warm_folder(opened: AbstractAsyncContextManager[Kit], wanted: Wanted, console: Console) -> int:
    """Warm a folder; give the exit code."""
    async with opened as kit:
        try:
            folder, bearer = _usable(kit, wanted)
        except ValueError as error:
            console.print(f"thumb-proxy: {error}", markup=False)
            return UNUSABLE
        count, started = Count(), time.monotonic()
        problem = await _warmed(kit, wanted, folder, bearer, count, console)
        if problem:
            console.print(f"thumb-proxy: not all of the folder can be listed: {problem}", markup=False)
        _summarise(console, count, time.monotonic() - started)
        return FAILED if count.failed or problem else DONE


def _usable(kit: Kit, wanted: Wanted) -> tuple[FileUri, CredentialsOf | None]:
    """Give the folder, and whose eyes to use; ValueError says what is missing."""
    named = kit.named(wanted.uri, wanted.account)
    if not kit.has_tier:
        raise ValueError("nothing would be kept: neither disk.path nor redis.url can be used")
    return named


async def _warmed(
    kit: Kit, wanted: Wanted, folder: FileUri, bearer: CredentialsOf | None, count: Count, console: Console
) -> str:
    """Warm with a bar; say why it ended early, if it did."""
    started, problem = time.monotonic(), ""
    with _bar(console) as bar:
        task = bar.add_task("", total=None, failed="")

        def moved() -> None:
            _move(bar, task, count, started)

        try:
            await kit.warmer.warm(
                folder, wanted.at_a_time, count, bearer, is_recursive=wanted.is_recursive, moved=moved
            )
        except* ProxyError as group:
            problem = "; ".join(map(told, group.exceptions))
    return problem


def _bar(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}", style="red"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _move(bar: Progress, task: TaskID, count: Count, started: float) -> None:
    rate = count.settled / max(time.monotonic() - started, 0.001)
    failed = f"{count.failed.total()} failed" if count.failed else ""
    bar.update(task, completed=count.settled, total=count.found, description=f"{rate:.1f}/s", failed=failed)


def _summarise(console: Console, count: Count, seconds: float) -> None:
    rate = count.settled / max(seconds, 0.001)
    counts = f"{count.done:,} kept, {count.without:,} without a thumbnail, {count.failed.total():,} failed"
    console.print(f"{counts}, in {seconds:.0f} s ({rate:.1f} a second)", highlight=False)
    for reason, number in count.failed.most_common():
        console.print(f"  {number:,}: {reason}", markup=False, highlight=False)
