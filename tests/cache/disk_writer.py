"""A program that writes to the disk tier until it is killed, and begins again; usage: disk_writer.py FOLDER TIMES."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from itertools import count

from proxy.cache.disk_tier import DiskTier
from proxy.domain.picture import Picture
from proxy.settings import Settings

MAX_BYTES = 16 * 1024 * 1024
NUMBERS = 400


def picture(number: int, round_: int) -> Picture:
    """Make one of a size and with bytes that its names tell."""
    return Picture(f"{number}", "image/png", f'"{round_}"', b"%d %d " % (number, round_) * (40 + 37 * (round_ % 50)))


async def write(folder: str, told: int) -> None:
    """Write for ever, and tell when half of the numbers are written."""
    site, disk = {"url": "http://cloudreve:5212"}, {"path": folder, "max_bytes": MAX_BYTES}
    tier = DiskTier.from_settings(Settings.model_validate({"cloudreve": site, "disk": disk}), time.time)
    for round_ in count(os.getpid()):
        for number in range(NUMBERS):
            tier.set_nowait(f"p:{number}", picture(number, round_), 600.0)
            if number % 7 == 0:
                tier.delete_nowait(f"p:{random.randrange(NUMBERS)}")  # noqa: S311
            if number % 20 == 0:
                await tier.settle()
                if number == NUMBERS // 2 and round_ == os.getpid():
                    os.write(told, b".")


def main(folder: str, times: int) -> None:
    """Let a child write, kill it at a random moment, and so on; every other lives until it has written many."""
    for turn in range(times):
        heard, told = os.pipe()
        child = os.fork()
        if not child:
            asyncio.run(write(folder, told))
        os.close(told)
        if turn % 2:
            os.read(heard, 1)
        time.sleep(random.uniform(0.005, 0.06))  # noqa: S311 - any moment will do
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(heard)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
