"""Real load balancers with the files of deploy/load-balancers: as they are, but for ports and folders."""

from __future__ import annotations

import http.client
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from tests.deploy.patience import LONGEST_S, does
from tests.harness.redis_server import free_port
from tests.plugins.programs import found

FILES = Path(__file__).parents[2] / "deploy" / "load-balancers"
SHIPPED_PORTS = (8080, 8081, 8082)

_APACHE_MODULES = (
    "mpm_event", "authz_core", "watchdog", "slotmem_shm", "lbmethod_byrequests", "headers", "proxy", "proxy_http",
    "proxy_wstunnel", "proxy_balancer", "proxy_hcheck", "setenvif",
)  # fmt: skip
_APACHE_FOLDER = Path("/usr/lib/apache2/modules")


@dataclass(frozen=True, slots=True)
class Kind:
    """One load balancer: its program, the shipped file, the place of its port in it, and how it is started."""

    program: str
    file: str
    shipped: str
    """The text of the file that names port 80; empty where the command line names the port."""
    placed: str
    """The same for a port of the test."""
    command: Callable[[Path, int], Sequence[str]]
    """From the path of the file and the port."""
    wrap: Callable[[str, Path], str] = lambda text, _: text
    """Adds what belongs into the program's main configuration."""
    drain_s: float = 0.0
    """How long a gateway has to drain before it stops, where the program cannot ask another gateway again."""


def _caddy(text: str, _: Path) -> str:
    return f"{{\n\tadmin off\n\tauto_https off\n}}\n{text}"


def _apache(text: str, folder: Path) -> str:
    modules = "".join(
        f"LoadModule {name}_module {_APACHE_FOLDER}/mod_{name}.so\n"
        for name in _APACHE_MODULES
        if (_APACHE_FOLDER / f"mod_{name}.so").exists()
    )
    port = text.partition("<VirtualHost 127.0.0.1:")[2].partition(">")[0]
    own = f"ServerName localhost\nListen 127.0.0.1:{port}\nPidFile {folder}/pid\nErrorLog {folder}/error.log\n"
    places = f"DefaultRuntimeDir {folder}\nDefine APACHE_LOG_DIR {folder}\n"
    return modules + places + own + text


def _squid(text: str, folder: Path) -> str:
    logs = f"access_log stdio:{folder}/access.log\ncache_log {folder}/cache.log\ncache_store_log none\n"
    leaves = "visible_hostname localhost\nshutdown_lifetime 0 seconds\n"
    return f"{text}\npid_filename {folder}/pid\ncoredump_dir {folder}\n{leaves}{logs}"


KINDS: Mapping[str, Kind] = {
    "haproxy": Kind(
        "haproxy", "haproxy.cfg", "bind :80", "bind 127.0.0.1:{port}", lambda path, _: ["-db", "-f", str(path)]
    ),
    "caddy": Kind(
        "caddy", "Caddyfile", "\n:80 {", "\nhttp://127.0.0.1:{port} {{",
        lambda path, _: ["run", "--adapter", "caddyfile", "--config", str(path)], _caddy,
    ),
    "apache": Kind(
        "apache2", "apache.conf", "<VirtualHost *:80>", "<VirtualHost 127.0.0.1:{port}>",
        lambda path, _: ["-DFOREGROUND", "-f", str(path)], _apache,
    ),
    "varnish": Kind(
        "varnishd", "varnish.vcl", "", "",
        lambda path, port: [
            "-F", "-a", f"127.0.0.1:{port}", "-f", str(path), "-n", str(path.parent), "-s", "malloc,32m",
            "-p", "http_req_hdr_len=16k", "-p", "workspace_client=128k",
        ],
    ),
    "envoy": Kind(
        "envoy", "envoy.yaml", "address: 0.0.0.0, port_value: 80", "address: 127.0.0.1, port_value: {port}",
        lambda path, _: ["-c", str(path), "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"],
    ),
    "squid": Kind(
        "squid", "squid.conf", "http_port 80 ", "http_port 127.0.0.1:{port} ",
        lambda path, _: ["-N", "-f", str(path)], _squid,
    ),
    "traefik": Kind(
        "traefik", "traefik.yaml", "", "",
        lambda path, port: [
            f"--entryPoints.web.address=127.0.0.1:{port}", f"--providers.file.filename={path}", "--log.level=ERROR",
            "--global.checkNewVersion=false",
        ],
        drain_s=3.0,
    ),
}  # fmt: skip


class Balancer:
    """One of them in front of three gateways, given by their ports."""

    def __init__(self, kind: Kind, folder: Path, gateways: Sequence[int]) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._path = folder / kind.file
        self._path.write_text(kind.wrap(_placed(kind, self.port, gateways), folder))
        self.kind = kind
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Balancer:
        """Start it, and wait until a gateway answers by way of it."""
        command = [found(self.kind.program) or self.kind.program, *self.kind.command(self._path, self.port)]
        self._folder.chmod(0o777)  # squid and varnishd give up root's rights
        environment = os.environ | {"HOME": str(self._folder), "XDG_DATA_HOME": str(self._folder)}
        said = self._folder / "said"
        with said.open("wb") as out:
            self._process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)  # noqa: S603 - our own files
        if does(self._process, self._is_through):
            return self
        self.stop()
        raise AssertionError(f"{self.kind.program} did not start: {said.read_text(errors='replace')}")

    def _is_through(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_S)
        try:
            connection.request("GET", "/readyz", headers={"Host": f"127.0.0.1:{self.port}"})
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    @property
    def logs(self) -> str:
        """All that it has written."""
        files = (path for path in self._folder.rglob("*") if path.is_file() and path.suffix in {".log", ""})
        return "".join(path.read_bytes().decode(errors="replace") for path in files if path != self._path)


def _placed(kind: Kind, port: int, gateways: Sequence[int]) -> str:
    text = (FILES / kind.file).read_text()
    pairs = [(str(shipped), str(gateway)) for shipped, gateway in zip(SHIPPED_PORTS, gateways, strict=True)]
    for old, new in (*pairs, (kind.shipped, kind.placed.format(port=port))):
        assert old in text, f"there is no {old!r} any more"
        text = text.replace(old, new) if old else text
    return text
