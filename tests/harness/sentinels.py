"""A Redis server, its replica, and three Sentinels that watch over them."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tests.harness.redis_server import RedisServer, until

SERVICE = "thumbs"
DOWN_AFTER_MS = 300


class Sentinel(RedisServer):
    """One Sentinel. It writes what it learns into its own configuration."""

    def __init__(self, folder: Path, server: RedisServer, **options: str) -> None:
        super().__init__(folder, **options)
        lines = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {server.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 2000",
            *([f"sentinel auth-pass {SERVICE} {server.password}"] if server.password else []),
            *([f"requirepass {self.password}", f"sentinel sentinel-pass {self.password}"] if self.password else []),
        ]
        (folder / "sentinel.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def start(self) -> Self:
        """Start it with what it knows."""
        own = ("--port", str(self.port), "--bind", "127.0.0.1", "--logfile", f"{self.folder}/redis.log")
        return self._run(f"{self.folder}/sentinel.conf", "--sentinel", "--dir", str(self.folder), *own)


class Watched:
    """All five processes. `password` is that of the servers, `sentinel_password` that of the Sentinels."""

    def __init__(self, folder: Path, password: str = "", sentinel_password: str = "") -> None:
        secret = {"requirepass": password, "masterauth": password} if password else {}
        own = {"requirepass": sentinel_password} if sentinel_password else {}
        self.servers = [RedisServer(_room(folder, name), **secret) for name in ("first", "second")]
        self.sentinels = [Sentinel(_room(folder, f"sentinel {n}"), self.servers[0], **own) for n in range(3)]

    @property
    def hosts(self) -> str:
        """List the Sentinels as a URL does."""
        return ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)

    @property
    def url(self) -> str:
        """Name the service, without any password."""
        return f"redis+sentinel://{self.hosts}/{SERVICE}"

    def start(self) -> Self:
        """Start all, and wait until every Sentinel knows all others and the replica."""
        first, second = (server.start() for server in self.servers)
        second.command("REPLICAOF", "127.0.0.1", first.port)
        until(lambda: second.info("replication").get("master_link_status") == "up")
        for sentinel in self.sentinels:
            sentinel.start()
        until(lambda: all(_knows_all(sentinel) for sentinel in self.sentinels))
        return self

    def master(self) -> RedisServer:
        """Give the server that a Sentinel names."""
        for sentinel in self.sentinels:
            if sentinel.is_running:
                found = sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
                assert isinstance(found, list | tuple)
                return next(server for server in self.servers if server.port == int(found[1]))
        raise AssertionError("no Sentinel is running")

    def other(self) -> RedisServer:
        """Give the server that it does not name."""
        return next(server for server in self.servers if server is not self.master())

    def mend(self) -> None:
        """Bring back a server that has gone, as the other's replica; a Sentinel would see to that in ten seconds."""
        for server in self.servers:
            if not server.is_running:
                server.start()
            server.thaw()
        master, other = self.master(), self.other()
        other.command("REPLICAOF", "127.0.0.1", master.port)
        until(lambda: other.info("replication").get("master_link_status") == "up")

    def kill(self) -> None:
        """End everything."""
        for process in [*self.sentinels, *self.servers]:
            process.kill()


def _knows_all(sentinel: Sentinel) -> bool:
    service = sentinel.info("sentinel")["master0"]
    return (service["status"], service["slaves"], service["sentinels"]) == ("ok", 1, 3)


def _room(folder: Path, name: str) -> Path:
    room = folder / name.replace(" ", "-")
    room.mkdir()
    return room
