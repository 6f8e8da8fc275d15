"""A Redis Cluster on loopback: three servers that hold keys, and a replica of the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from redis.crc import key_slot

from tests.harness.redis_server import RedisServer, until

MASTERS = 3
NODE_TIMEOUT_MS = 500
_SLOTS = 16384


class Sharded:
    """All servers. Each holds a third of the slots; when the first goes, its replica takes over."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.servers = []
        for number in range(MASTERS + 1):
            room = folder / f"{number}"
            room.mkdir()
            server = RedisServer(
                room,
                **{
                    "cluster-enabled": "yes",
                    "cluster-node-timeout": f"{NODE_TIMEOUT_MS}",
                    "cluster-require-full-coverage": "no",
                    "cluster-replica-validity-factor": "0",
                    **options,
                },
            )
            self.servers.append(server)

    @property
    def hosts(self) -> str:
        """List the servers as a URL does."""
        return ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    @property
    def url(self) -> str:
        """Name some of the servers."""
        return f"redis+cluster://{self.hosts}"

    def start(self) -> Self:
        """Start all, join them, deal out the slots, and wait until every server sees the whole."""
        for server in self.servers:
            server.start()
        first = self.servers[0]
        for number, server in enumerate(self.servers[:MASTERS]):
            server.command("CLUSTER", "ADDSLOTS", *range(number * _SLOTS // MASTERS, (number + 1) * _SLOTS // MASTERS))
        for number, server in enumerate(self.servers):
            server.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            first.command("CLUSTER", "MEET", "127.0.0.1", server.port)
        until(lambda: all(self._nodes(server) == len(self.servers) for server in self.servers))
        self._follow(self.servers[MASTERS], first)
        until(self.is_whole)
        return self

    def is_whole(self) -> bool:
        """Tell whether all servers agree that all is well, the replica being where it belongs."""
        return all(server.is_running and _state(server) == "ok" and _sees_all(server) for server in self.servers)

    def holder(self, key: str) -> RedisServer:
        """Give the server that holds a key, as a server sees it that is not the first to be asked."""
        slot = key_slot(key.encode())
        for server in reversed(self.servers):
            if server.is_running:
                ports = [int(shard[2][1]) for shard in _told(server) if shard[0] <= slot <= shard[1]]
                return next(one for one in self.servers if one.port in ports)
        raise AssertionError("no server is running")

    def mend(self) -> None:
        """Bring back what has gone, as replicas of those who took over."""
        for server in self.servers:
            if not server.is_running:
                server.start()
            server.thaw()
        until(self.is_whole)

    def kill(self) -> None:
        """End everything."""
        for server in self.servers:
            server.kill()

    def _nodes(self, server: RedisServer) -> int:
        with server.client() as client:
            nodes = client.cluster("NODES")
        return sum("handshake" not in node["flags"] for node in nodes.values())

    def _follow(self, replica: RedisServer, master: RedisServer) -> None:
        name = master.command("CLUSTER", "MYID")
        assert isinstance(name, bytes)
        replica.command("CLUSTER", "REPLICATE", name)
        until(lambda: replica.info("replication").get("master_link_status") == "up")


def _state(server: RedisServer) -> str:
    with server.client() as client:
        return str(client.cluster("INFO")["cluster_state"])


def _sees_all(server: RedisServer) -> bool:
    told = _told(server)
    masters, replicas = {shard[2][1] for shard in told}, {one[1] for shard in told for one in shard[3:]}
    return len(masters) == MASTERS and len(replicas) == 1


def _told(server: RedisServer) -> list[Any]:
    """Ask which slots are where: ranges with their servers, the one that may be written to first."""
    told = server.command("CLUSTER SLOTS")
    assert isinstance(told, list)
    return told
