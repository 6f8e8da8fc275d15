"""One port for several workers, and for nobody else."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from proxy.workers import listen_socket as door
from proxy.workers.listen_socket import ListenSocket

HOST = "127.0.0.1"


@pytest.fixture(params=[True, False] if door.IS_DEALT else [False])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Take both ways to share a port, dealing visitors out where that is possible."""
    monkeypatch.setattr(door, "IS_DEALT", request.param)
    return bool(request.param)


@pytest.fixture
def opened(way: bool) -> Iterator[ListenSocket]:
    with closing(ListenSocket(HOST, 0)) as found:
        yield found


def connect(port: int) -> int:
    """Try to come in; give the error's number, or 0."""
    with socket.socket() as visitor:
        return visitor.connect_ex((HOST, port))


def test_nobody_is_let_in_before_a_worker_listens(opened: ListenSocket) -> None:
    """A visitor who cannot be answered is told at once, and goes to another gateway."""
    with ExitStack() as stack:
        [mine] = [stack.enter_context(each) for each in opened.sockets()]
        assert connect(opened.port) == errno.ECONNREFUSED
        mine.listen()
        assert connect(opened.port) == 0


def test_a_worker_that_ends_leaves_the_others_listening(opened: ListenSocket) -> None:
    [first], [second] = opened.sockets(), opened.sockets()
    first.listen()
    second.listen()
    first.close()
    assert [connect(opened.port) for _ in range(20)] == [0] * 20
    second.close()


def test_the_last_worker_closes_the_door_behind_it(opened: ListenSocket) -> None:
    """Once the parent has let go, nobody waits at a door that nobody opens."""
    [only] = opened.sockets()
    only.listen()
    opened.close()
    assert connect(only.getsockname()[1]) == 0
    port = only.getsockname()[1]
    only.close()
    assert connect(port) == errno.ECONNREFUSED


def test_a_port_in_use_is_not_shared(opened: ListenSocket) -> None:
    [mine] = opened.sockets()
    mine.listen()
    with pytest.raises(OSError, match="in use"):
        ListenSocket(HOST, opened.port)
    mine.close()


def test_each_worker_has_every_address_of_the_host(way: bool) -> None:
    """`localhost` may have two."""
    with closing(ListenSocket("localhost", 0)) as found, ExitStack() as stack:
        sockets = [stack.enter_context(each) for each in found.sockets()]
        families = {info[0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        assert {each.family for each in sockets} == families
