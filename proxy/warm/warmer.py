"""Asks for the thumbnails of a folder as a visitor would, in the usual variants, behind all visitors."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from proxy.domain.client import BACKGROUND
from proxy.domain.credentials import Credentials
from proxy.domain.errors import Busy, ProxyError, Refused, StillGenerating, TooSlow, Unreachable
from proxy.domain.file_uri import FileUri, child
from proxy.domain.picture import Picture
from proxy.domain.refusal import RefusalKind
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.variant import ORIGINAL, Format, Variant
from proxy.gateway import Gateway
from proxy.identity.identify import Identifier
from proxy.upstream.cloudreve import Cloudreve
from proxy.warm.walk import CredentialsOf, walk

PAUSES_S = (0.0, 0.5, 2.0, 5.0)
"""Before each attempt at a picture that could not be had at the moment."""

_PASSING = (Busy, StillGenerating, TooSlow, Unreachable)


@dataclass
class Progress:
    """How far it has come."""

    found: int = 0
    """Files that the walk has come upon."""
    done: int = 0
    """Files whose thumbnail is kept."""
    without: int = 0
    """Files that have no thumbnail."""
    failed: Counter[str] = field(default_factory=Counter)
    """Files that failed, by reason."""
    is_listed: bool = False
    """Whether the walk has come to its end."""

    @property
    def settled(self) -> int:
        """Count the files that need nothing more."""
        return self.done + self.without + self.failed.total()


class Warmer:
    """Warms folders with the gateway's own steps, so that what visitors ask for meanwhile is loaded once for all."""

    def __init__(
        self, cloudreve: Cloudreve, identifier: Identifier, gateway: Gateway, formats: Sequence[Format]
    ) -> None:
        self._cloudreve = cloudreve
        self._identifier = identifier
        self._gateway = gateway
        self._variants = (ORIGINAL, *(Variant(each) for each in formats))

    async def warm(
        self,
        folder: FileUri,
        at_a_time: int,
        progress: Progress,
        bearer: CredentialsOf | None = None,
        *,
        is_recursive: bool = False,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        """Walk a folder and have every thumbnail kept; raise ProxyError where it cannot be listed.

        Without `bearer` it is seen as the public sees it. `moved` is called after each file.
        """

        async def credentials() -> Credentials:
            given = await bearer() if bearer is not None else Credentials()
            within = child(folder, "any")  # an account publishes what is in its folder
            return (await self._identifier.identify(given, within, BACKGROUND)).credentials

        queue: asyncio.Queue[FileUri | None] = asyncio.Queue(2 * at_a_time)

        async def work() -> None:
            while (uri := await queue.get()) is not None:
                await self.warm_file(uri, progress, bearer)
                moved()

        async with asyncio.TaskGroup() as group:
            for _ in range(at_a_time):
                group.create_task(work())
            try:
                async for uris in walk(self._cloudreve, folder, credentials, is_recursive=is_recursive):
                    progress.found += len(uris)
                    for uri in uris:
                        await queue.put(uri)
                progress.is_listed = True
            finally:
                for _ in range(at_a_time):
                    await queue.put(None)

    async def warm_file(self, uri: FileUri, progress: Progress, bearer: CredentialsOf | None = None) -> None:
        """Have the thumbnail of one file kept, in all usual variants."""
        try:
            for variant in self._variants:
                await self._patiently(uri, variant, bearer)
        except Refused as error:
            if error.refusal.kind is RefusalKind.NOT_FOUND:
                progress.without += 1
            else:
                progress.failed[_reason(error)] += 1
        except ProxyError as error:
            progress.failed[_reason(error)] += 1
        else:
            progress.done += 1

    async def _patiently(self, uri: FileUri, variant: Variant, bearer: CredentialsOf | None) -> None:
        """Ask again where it is a matter of time: Cloudreve or the encoders are busy."""
        last: ProxyError | None = None
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            try:
                if await self._ask(uri, variant, bearer):
                    return
            except _PASSING as error:
                last = error
        if last is not None:
            raise last

    async def _ask(self, uri: FileUri, variant: Variant, bearer: CredentialsOf | None) -> bool:
        """Ask once; tell whether the variant is kept, and not still being encoded."""
        credentials = await bearer() if bearer is not None else Credentials()
        answer = await self._gateway.answer(ThumbRequest(uri, credentials, variant, client=BACKGROUND))
        body = answer.shown.body if answer.shown is not None else None
        if body is not None and not isinstance(body, Picture):
            await body.whole()
        return not answer.handling.is_interim


def _reason(error: ProxyError) -> str:
    code = f" (Cloudreve's code {error.code})" if error.code else ""
    return f"{error.detail or error.title}{code}"
