"""Downloads: every reader gets all the bytes, whenever it comes and however slow it is, or learns why not."""

from __future__ import annotations

import asyncio
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.domain.errors import ProxyError, UpstreamError
from proxy.domain.picture import Picture, PictureHead
from proxy.pictures.stream_buffer import StreamBuffer
from tests.harness.loops import some_steps

CHUNKS = [b"\x89PNG", b"", b"middle", b"end"]
HEAD = PictureHead("image/png", '"v1"', 13)


def picture(body: bytes = b"".join(CHUNKS)) -> Picture:
    return Picture("ab12", "image/png", '"v1"', body)


class Reader:
    """A visitor who reads, one chunk for each leave to go on."""

    def __init__(self, download: StreamBuffer, leave: int = 10**9) -> None:
        self.head: PictureHead | None = None
        self.got = b""
        self.error: ProxyError | None = None
        self._leave = asyncio.Semaphore(leave)
        self.task = asyncio.create_task(self._read(download))

    def go_on(self) -> None:
        """Take as much as there is from now on."""
        for _ in range(100):
            self._leave.release()

    async def _read(self, download: StreamBuffer) -> None:
        try:
            self.head = await download.opened()
            async for chunk in download.chunks():
                self.got += chunk
                await self._leave.acquire()
        except ProxyError as error:
            self.error = error


async def test_slow_and_fast_readers_whenever_they_come_get_identical_bytes() -> None:
    """Before the beginning, in the middle, after the end; the slow one holds nobody up, least of all the download."""
    download = StreamBuffer()
    early, slow = Reader(download), Reader(download, leave=0)
    await some_steps()
    assert early.head is None
    download.begin(HEAD)
    download.feed(CHUNKS[0])
    await some_steps()
    assert early.got == slow.got == CHUNKS[0]
    middle = Reader(download)
    download.feed(CHUNKS[1])
    download.feed(CHUNKS[2])
    await some_steps()
    assert early.got == middle.got == b"\x89PNGmiddle"
    download.feed(CHUNKS[3])
    download.finish(picture())
    late = Reader(download)
    await asyncio.gather(early.task, middle.task, late.task)
    assert (slow.got, slow.task.done()) == (CHUNKS[0], False)
    slow.go_on()
    await slow.task
    assert {reader.got for reader in (early, slow, middle, late)} == {picture().body}
    assert late.head == picture().head


async def test_the_first_bytes_are_read_before_the_last_have_arrived() -> None:
    download = StreamBuffer()
    download.begin(HEAD)
    download.feed(b"first")
    chunks = download.chunks()
    assert await anext(chunks) == b"first"
    waiting = asyncio.ensure_future(anext(chunks))
    await some_steps()
    assert not waiting.done()
    download.feed(b"second")
    assert await waiting == b"second"


async def test_the_head_comes_without_waiting_for_bytes() -> None:
    """It is known as soon as it is certain to be a picture, its length included."""
    download = StreamBuffer()
    download.begin(HEAD)
    assert await download.opened() == HEAD


@pytest.mark.parametrize("body", [b"tiny", b""])
async def test_a_picture_that_was_never_announced_is_shown_whole(body: bytes) -> None:
    """Smaller than what is needed to tell that it is one, or revalidated without a byte from upstream."""
    download = StreamBuffer()
    early = Reader(download)
    await some_steps()
    download.finish(picture(body))
    late = Reader(download)
    await asyncio.gather(early.task, late.task)
    for reader in (early, late):
        assert (reader.head, reader.got) == (picture(body).head, body)


async def test_bytes_that_have_been_fed_are_not_given_twice_at_the_end() -> None:
    """The end brings the whole picture; of an announced one the readers have it already."""
    download = StreamBuffer()
    download.begin(HEAD)
    download.feed(picture().body)
    download.finish(picture())
    assert [chunk async for chunk in download.chunks()] == [picture().body]


async def test_a_failure_before_anything_is_certain_is_told_in_place_of_the_head() -> None:
    """To those who wait and to those who come later: each can still answer with a true status."""
    download, error = StreamBuffer(), UpstreamError("x")
    early = Reader(download)
    await some_steps()
    download.fail(error)
    late = Reader(download)
    await asyncio.gather(early.task, late.task)
    assert early.error is late.error is error
    assert early.head is late.head is None


async def test_a_failure_in_the_middle_cuts_every_reader_off() -> None:
    """Each gets what there is and then the error, so that no cut picture ever looks complete."""
    download, error = StreamBuffer(), UpstreamError("x")
    download.begin(HEAD)
    download.feed(b"half")
    reading, slow = Reader(download), Reader(download, leave=0)
    await some_steps()
    download.feed(b" and more")
    download.fail(error)
    slow.go_on()
    late = Reader(download)
    await asyncio.gather(reading.task, slow.task, late.task)
    assert reading.got == slow.got == b"half and more"
    assert reading.error is slow.error is late.error is error
    assert late.head is None, "whoever has not begun to answer can still say what went wrong"


async def test_a_reader_who_leaves_disturbs_nobody() -> None:
    download = StreamBuffer()
    leaving, staying = Reader(download), Reader(download)
    await some_steps()
    leaving.task.cancel()
    await some_steps()
    download.finish(picture())
    await staying.task
    assert leaving.task.cancelled()
    assert staying.got == picture().body


async def test_bytes_between_two_waits_are_not_missed() -> None:
    """Several changes in one step: the reader wakes once and finds them all."""
    download = StreamBuffer()
    reader = Reader(download)
    await some_steps()
    download.begin(HEAD)
    for chunk in CHUNKS:
        download.feed(chunk)
    download.finish(picture())
    await reader.task
    assert reader.got == picture().body


async def test_the_error_does_not_gather_the_frames_of_its_readers() -> None:
    """One error is raised to all: a thousand visitors' frames would stay alive for as long as it does."""
    download, error = StreamBuffer(), UpstreamError("x")
    download.fail(error)
    depths = set()
    for _ in range(20):
        with pytest.raises(UpstreamError):
            await download.opened()
        depths.add(len(traceback.extract_tb(error.__traceback__)))
    assert len(depths) == 1


feeding = st.lists(st.binary(max_size=5) | st.just("reader") | st.just("slow reader"), max_size=20)


@settings(max_examples=60)
@given(feeding, st.booleans())
def test_every_reader_gets_the_same_bytes_and_the_same_end(events: list[bytes | str], well: bool) -> None:
    """Whatever the chunks are, and in every order of feeding and coming."""
    asyncio.run(replay(events, well))


async def replay(events: list[bytes | str], well: bool) -> None:
    """Feed and come as told, then end, and compare."""
    download, error = StreamBuffer(), UpstreamError("x")
    body = b"".join(event for event in events if isinstance(event, bytes))
    readers = [Reader(download)]
    download.begin(HEAD)
    for event in events:
        if isinstance(event, bytes):
            download.feed(event)
        else:
            readers.append(Reader(download, leave=0 if event == "slow reader" else 10**9))
        await asyncio.sleep(0)
    await some_steps()
    download.finish(picture(body)) if well else download.fail(error)
    for reader in readers:
        reader.go_on()
    await asyncio.gather(*(reader.task for reader in readers))
    assert {(reader.got, reader.error) for reader in readers} == {(body, None if well else error)}
