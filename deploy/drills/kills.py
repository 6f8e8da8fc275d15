"""`deploy/kills`: gateways that share a disk tier are killed under load, again and again; every answer is compared."""

from __future__ import annotations

import asyncio
import random
import sys
from argparse import ArgumentParser
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.drills.asking import Connection, question
from deploy.drills.cloudreve import CloudreveProcess
from deploy.drills.gateway import Gateway
from deploy.drills.until_told import until_told

GATEWAYS = 3
ASKERS = 4
"""For each gateway."""
DESCRIPTORS = 20_000
ALIVE_S = (0.0, 0.5)
"""How long a gateway serves before it is killed, at random."""
PAUSE_S = 0.01
SETTINGS = {
    "MEMORY__MAX_BYTES": "1048576",
    "DISK__MAX_BYTES": "16777216",
    "SEAL__KEYS": "0123456789abcdef" * 4,
    "LOG__REQUESTS": "errors",
}
"""Little memory, so that the disk is asked, and a small file, so that it is written all the time."""


@dataclass
class Outcome:
    """What visitors were shown."""

    answers: Counter[str] = field(default_factory=Counter)
    """How many were `right`, `wrong`, another `status`, or broken off by a kill."""
    kills: int = 0
    calls_after: float = 0.0
    """Of Cloudreve, after a restart of everything, while all pictures were asked for once more."""
    complaints: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Tell whether nobody was shown anything wrong, and everybody was served in the end."""
        return not self.answers["wrong"] and not self.answers["status"] and not self.complaints


class Drill:
    """Some gateways with one directory, and those who ask them."""

    def __init__(self, folder: Path, pictures: int, gateways: int = GATEWAYS) -> None:
        self._folder = folder
        self._count = gateways
        self._cloudreve = CloudreveProcess(pictures)
        self._gateways: list[Gateway] = []
        self._bodies: dict[str, bytes] = {}
        self._url = ""
        self.outcome = Outcome()

    async def play(self, kills: int) -> Outcome:
        """Kill so many gateways under load; then end all, start one, and ask for everything."""
        asking: list[asyncio.Task[None]] = []
        try:
            site = await self._cloudreve.start()
            self._url, uris = site.url, site.pictures
            self._gateways = [await self._started(number) for number in range(self._count)]
            await self._ask_for_all(self._gateways[0], uris)
            asking += [asyncio.create_task(self._go_on_asking(uris)) for _ in range(ASKERS * self._count)]
            await self._kill(kills)
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            await self._ask_all_anew(uris)
        finally:
            for task in asking:
                task.cancel()
            for gateway in self._gateways:
                gateway.kill()
            await self._cloudreve.kill()
        return self.outcome

    async def _started(self, number: int, **settings: str) -> Gateway:
        given = {**SETTINGS, "DISK__PATH": str(self._folder / "cache"), **settings}
        log = self._folder / f"gateway-{number}.log"
        while True:
            gateway = Gateway(self._url, log, DESCRIPTORS, **given)
            try:
                await gateway.start()
            except TimeoutError:  # the machine has other things to do
                gateway.kill()
            else:
                return gateway

    async def _kill(self, kills: int) -> None:
        for _ in range(kills):
            await asyncio.sleep(random.uniform(*ALIVE_S))  # noqa: S311 - any moment will do
            number = random.randrange(self._count)  # noqa: S311
            self._note_complaints(self._gateways[number])
            self._gateways[number].kill()
            self.outcome.kills += 1
            self._gateways[number] = await self._started(number)

    async def _go_on_asking(self, uris: list[str]) -> None:
        while True:
            await asyncio.sleep(PAUSE_S)
            gateway = random.choice(self._gateways)  # noqa: S311
            connection = Connection(gateway.port)
            try:
                while not gateway.has_ended:
                    await self._ask(connection, random.choice(uris))  # noqa: S311
            except (OSError, EOFError):
                self.outcome.answers["broken off"] += 1
            finally:
                connection.close()

    async def _ask(self, connection: Connection, uri: str) -> None:
        reply = await connection.ask(question(uri))
        if not reply.is_picture:
            self.outcome.answers["status"] += 1
        elif self._bodies.setdefault(uri, reply.body) != reply.body:
            self.outcome.answers["wrong"] += 1
        else:
            self.outcome.answers["right"] += 1

    async def _ask_all_anew(self, uris: list[str]) -> None:
        for gateway in self._gateways:
            self._note_complaints(gateway)
            with suppress(OSError):
                await gateway.leave()
        alone = await self._started(0)
        self._gateways = [alone]
        await self._ask_for_all(alone, uris)
        self.outcome.calls_after = sum(
            [
                await alone.counted(f'lookups_total{{entry="{entry}",source="upstream"}}')
                for entry in ("grant", "picture")
            ]
        )

    async def _ask_for_all(self, gateway: Gateway, uris: list[str]) -> None:
        connection = Connection(gateway.port)
        for uri in uris:
            await self._ask(connection, uri)
        connection.close()

    def _note_complaints(self, gateway: Gateway) -> None:
        """Take note of errors, and of a disk tier that was given up or begun anew."""
        told = [line for line in gateway.log.splitlines() if "disk tier" in line]
        self.outcome.complaints += [*gateway.complaints, *told]


def main() -> int:
    """Read the command line, and do as it says; 1 when somebody was shown anything wrong."""
    parser = ArgumentParser(prog="deploy/kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many (200)")
    parser.add_argument("--pictures", type=int, default=3000, help="how many different ones are asked for (3000)")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="thumb-proxy-kills-") as folder:
        outcome = asyncio.run(until_told(Drill(Path(folder), asked.pictures).play(asked.kills)))
    answers = ", ".join(f"{count:,} {name}" for name, count in outcome.answers.most_common())
    print(f"{outcome.kills} kills; answers: {answers}; {len(outcome.complaints)} complaints in logs")  # noqa: T201
    again = f"{outcome.calls_after:g} calls for all {asked.pictures:,} pictures after a restart"
    print("\n".join([again, *outcome.complaints[:5]]))  # noqa: T201
    return 0 if outcome.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
