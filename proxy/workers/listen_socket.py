"""The port that several workers share.

On Linux each worker gets sockets of its own (SO_REUSEPORT): the kernel deals visitors out evenly, and a worker that
dies takes nobody with it but whom it had let in. Elsewhere, where one of such sockets would get all visitors, the
workers share one. Sockets are only bound here: a worker that is not there yet must not be given visitors.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass

IS_DEALT = sys.platform == "linux"
"""Whether each worker listens on sockets of its own."""


@dataclass(frozen=True, slots=True)
class _Place:
    family: int
    address: tuple[str, int]


class ListenSocket:
    """Holds a port for as long as there are workers, who listen on it."""

    def __init__(self, host: str, port: int) -> None:
        """Take the port on every address of the host; raise OSError when somebody else has it."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        places = dict.fromkeys(_Place(family, (str(name[0]), int(name[1]))) for family, *_, name in found)
        self._held = [_taken(place) for place in places]
        self._given: dict[int, list[socket.socket]] = {}

    @property
    def port(self) -> int:
        """Tell which one it is."""
        return int(self._held[0].getsockname()[1])

    def sockets(self) -> list[socket.socket]:
        """Give the sockets of one worker; the caller that starts the worker closes them afterwards."""
        return [_bound(_place(held), is_dealt=True) if IS_DEALT else held.dup() for held in self._held]

    def sockets_of(self, number: int) -> list[socket.socket]:
        """Give the sockets of the worker of this number and of its successors: visitors who wait there stay."""
        if number not in self._given:
            self._given[number] = self.sockets()
        return self._given[number]

    def drop(self, number: int) -> None:
        """Close a worker's sockets; a visitor who waits there is refused, and goes to others."""
        for given in self._given.pop(number, ()):
            given.close()

    def close(self) -> None:
        """Let go of the port."""
        for number in list(self._given):
            self.drop(number)
        for held in self._held:
            held.close()


def _place(held: socket.socket) -> _Place:
    name = held.getsockname()
    return _Place(held.family, (str(name[0]), int(name[1])))


def _taken(place: _Place) -> socket.socket:
    """Take a place that nobody has, then open it to our own: two gateways on one port would share its visitors."""
    with _bound(place, is_dealt=False) as alone:
        if not IS_DEALT:
            return alone.dup()
        found = _place(alone)
    return _bound(found, is_dealt=True)


def _bound(place: _Place, *, is_dealt: bool) -> socket.socket:
    opened = socket.socket(place.family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if place.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as with one process
        if is_dealt:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind(place.address)
    except OSError as error:
        opened.close()
        host, port = place.address
        raise OSError(error.errno, f"{host} port {port}: {error.strerror}") from None
    return opened
