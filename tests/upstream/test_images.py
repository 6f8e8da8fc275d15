"""The way out to image URLs: what is an arriving image, where redirects may lead, which addresses are refused."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.domain.errors import GrantRejected, ProxyError, TooSlow, Unreachable, UpstreamError
from proxy.domain.ssrf import Origins
from proxy.domain.storage_errors import BrokenOff, NotStored, StorageBusy
from proxy.settings import CloudreveSettings
from proxy.upstream.images import MAX_REDIRECTS, ForbiddenAddress, Images, public_socket
from tests.harness.stream_server import stream_server

SITE = "http://cloudreve.internal"
Answer = Callable[[bytes], bytes]


class Host:
    """A server that answers each request with bytes of the test's choice, and then closes."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.heads: list[bytes] = []
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        writer.write(self._answer(head))
        writer.close()


class Names(AbstractResolver):
    """A DNS in which every name has the addresses that the test says."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:  # noqa: ARG002
        """Give all of them."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=2, proto=6, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        """Hold nothing."""


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Host]:
    host = Host(answer)
    async with stream_server(host.accept) as host.port:
        yield host


@asynccontextmanager
async def way_out(
    *listed: str, names: Names | None = None, base: str = SITE, **settings: float
) -> AsyncIterator[Images]:
    """Build both ways out as the gateway does."""
    async with AsyncExitStack() as stack:

        async def session(**options: object) -> aiohttp.ClientSession:
            connector = aiohttp.TCPConnector(resolver=names or Names("127.0.0.1"), **options)  # type: ignore[arg-type]
            return await stack.enter_async_context(aiohttp.ClientSession(connector=connector, auto_decompress=False))

        given = CloudreveSettings.model_validate({"url": base, "image_hosts": listed, **settings})
        origins = Origins(given.url, (), given.image_hosts)
        yield Images(await session(), await session(socket_factory=public_socket), origins, given)


def said(status: str, *fields: str, body: bytes = b"") -> Answer:
    head = "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode()
    return lambda _: head + body


async def fetched(images: Images, url: str, etag: str = "") -> bytes | None:
    async with images.fetch(url, etag) as arrival:
        if arrival is None:
            return None
        return b"".join([chunk async for chunk in arrival.chunks])


PROPER = said("200 OK", "Content-Length: 3", 'ETag: W/"x"', body=b"abc")


async def test_a_listed_host_is_reached_by_name() -> None:
    """Though its address is private; length and validator are given as they came."""
    path = "/a%2Fb?sign=%41%2b+&x"
    async with (
        serving(PROPER) as host,
        way_out(f"storage.lan:{host.port}") as images,
        images.fetch(f"http://storage.lan:{host.port}{path}", "") as arrival,
    ):
        assert arrival is not None
        assert (arrival.length_bytes, arrival.etag) == (3, 'W/"x"')
        assert [chunk async for chunk in arrival.chunks] == [b"abc"]
    assert host.heads[0].startswith(b"GET /a%2Fb?sign=%41%2b+&x HTTP/1.1\r\n")  # signed: not a byte may change


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"])  # noqa: S104
async def test_a_name_with_a_private_address_is_refused_at_the_moment_of_connecting(address: str) -> None:
    """Whatever the name looked like before; the error does not name the address."""
    async with serving(PROPER) as host, way_out(names=Names(address)) as images:
        with pytest.raises(UpstreamError) as caught:
            await fetched(images, f"http://public.example:{host.port}/")
    assert caught.value.detail == "The image URL leads to an address that is not public."
    assert host.heads == []


async def test_a_name_with_many_addresses_is_refused_for_each_private_one() -> None:
    async with serving(PROPER) as host, way_out(names=Names("127.0.0.1", "127.0.0.2", "10.0.0.1")) as images:
        with pytest.raises(UpstreamError):
            await fetched(images, f"http://public.example:{host.port}/")
    assert host.heads == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%eth0", "64:ff9b::7f00:1"])
def test_no_socket_is_made_for_a_private_address(address: str) -> None:
    with pytest.raises(ForbiddenAddress):
        public_socket((2, 1, 6, "", (address, 80)))


@pytest.mark.parametrize(("family", "address"), [(2, "8.8.8.8"), (10, "2606:4700::1111")])
def test_a_socket_is_made_for_a_public_address(family: int, address: str) -> None:
    with public_socket((family, 1, 6, "", (address, 443))) as made:
        assert made.family == family


@pytest.mark.parametrize("to", ["http://other.lan:{port}/", "//other.lan:{port}/", "http://127.0.0.1:{port}/"])
async def test_a_redirect_to_a_host_that_is_not_listed_is_checked_like_the_first(to: str) -> None:
    async with serving(PROPER) as inside:
        away = said("302 Found", f"Location: {to.format(port=inside.port)}", "Content-Length: 0")
        async with serving(away) as host, way_out(f"storage.lan:{host.port}") as images:
            with pytest.raises(UpstreamError):
                await fetched(images, f"http://storage.lan:{host.port}/")
    assert inside.heads == []


async def test_redirects_are_followed_a_few_times_and_no_more() -> None:
    counted: list[bytes] = []

    def on(head: bytes) -> bytes:
        counted.append(head)
        return said("307 Temporary Redirect", f"Location: /{len(counted)}", "Content-Length: 0")(head)

    async with serving(on) as host, way_out("storage.lan") as images:
        with pytest.raises(UpstreamError):
            await fetched(images, f"http://storage.lan:{host.port}/0")
    assert [head.split(b" ")[1] for head in counted] == [b"/%d" % number for number in range(MAX_REDIRECTS + 1)]


async def test_the_sites_own_host_is_reached_at_any_address() -> None:
    async with serving(PROPER) as host, way_out(base=f"http://cloudreve.lan:{host.port}") as images:
        assert await fetched(images, f"http://cloudreve.lan:{host.port}/x") == b"abc"


async def test_a_validator_is_sent_back_as_it_came_and_304_means_still_the_same() -> None:
    async with serving(said("304 Not Modified")) as host, way_out("storage.lan") as images:
        assert await fetched(images, f"http://storage.lan:{host.port}/", 'W/"x y"') is None
    assert b'If-None-Match: W/"x y"\r\n' in host.heads[0]


GZIP = "Content-Encoding: gzip"
GZIPPED = gzip.compress(bytes(range(256)) * 1000)
ENDS: dict[str, tuple[Answer, type[ProxyError]]] = {
    "304 that nobody asked for": (said("304 Not Modified"), UpstreamError),
    "a length that is no number": (said("200 OK", "Content-Length: x", body=b"abc"), UpstreamError),
    "two lengths": (said("200 OK", "Content-Length: 3", "Content-Length: 4", body=b"abc"), UpstreamError),
    "fewer bytes than announced": (said("200 OK", "Content-Length: 9", body=b"abc"), BrokenOff),
    "chunks that break off": (said("200 OK", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n"), BrokenOff),
    "chunks that are none": (said("200 OK", "Transfer-Encoding: chunked", body=b"zz\r\nabc\r\n"), UpstreamError),
    "a part": (said("206 Partial Content", "Content-Length: 3", body=b"abc"), UpstreamError),
    "nothing at all": (lambda _: b"", Unreachable),
    "no HTTP": (lambda _: b"SSH-2.0-OpenSSH\r\n", UpstreamError),
    "a head without end": (lambda _: b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, UpstreamError),
    "401": (said("401 Unauthorized", "Content-Length: 0"), GrantRejected),
    "403": (said("403 Forbidden", "Content-Length: 0"), NotStored),
    "404": (said("404 Not Found", "Content-Length: 0"), NotStored),
    "410": (said("410 Gone", "Content-Length: 0"), GrantRejected),
    "500": (said("500 Internal Server Error", "Content-Length: 0"), Unreachable),
    "502": (said("502 Bad Gateway", "Content-Length: 0"), Unreachable),
    "429": (said("429 Too Many Requests", "Content-Length: 0"), StorageBusy),
    "503": (said("503 Slow Down", "Content-Length: 0"), StorageBusy),
    "brotli": (said("200 OK", "Content-Encoding: br", "Content-Length: 3", body=b"abc"), UpstreamError),
    "gzip that breaks off": (said("200 OK", GZIP, "Content-Length: 12", body=GZIPPED[:12]), UpstreamError),
    "gzip that is none": (said("200 OK", GZIP, "Content-Length: 12", body=b"\x1f\x8b" + bytes(10)), UpstreamError),
    "JSON that rejects": (
        said("200 OK", "Content-Type: application/json", "Content-Length: 14", body=b'{"code":40005}'),
        GrantRejected,
    ),
    "JSON without end": (said("200 OK", "Content-Type: application/json", "Transfer-Encoding: chunked"), UpstreamError),
    "a redirect to nothing": (said("302 Found", "Content-Length: 0"), UpstreamError),
    "a redirect to no URL": (said("302 Found", "Location: http://[", "Content-Length: 0"), UpstreamError),
}


@pytest.mark.parametrize(("answer", "error"), ENDS.values(), ids=ENDS)
async def test_any_other_answer_than_an_image_is_an_error(answer: Answer, error: type[ProxyError]) -> None:
    """Each of its own kind; only a rejection says that another grant may help."""
    async with serving(answer) as host, way_out("storage.lan") as images:
        with pytest.raises(ProxyError) as caught:
            await fetched(images, f"http://storage.lan:{host.port}/?sign=secret")
    assert type(caught.value) is error
    assert "secret" not in str(caught.value)


async def test_a_host_that_does_not_answer_is_too_slow() -> None:

    async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with stream_server(silent) as port, way_out("storage.lan", fetch_timeout_s=0.1) as images:
        with pytest.raises(TooSlow):
            await fetched(images, f"http://storage.lan:{port}/")
