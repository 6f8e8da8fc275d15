"""A real nginx with the site of deploy/nginx: the files as they are, but for ports and folders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.deploy.patience import listens
from tests.harness.redis_server import free_port

SITE = Path(__file__).parents[2] / "deploy" / "nginx"
START_S = 60.0

_MAIN = """
daemon off;
{user}
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/log/error.log;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/upstreams.conf;
    include {folder}/thumb-proxy.conf;
}}
"""


class Nginx:
    """One nginx in front of gateways and a Cloudreve, given by their ports."""

    def __init__(self, folder: Path, gateways: Sequence[int], cloudreve: int) -> None:
        self.folder = folder
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.site = _placed((SITE / "thumb-proxy.conf").read_text(), self.port, folder)
        self.upstreams = _pointed((SITE / "upstreams.conf").read_text(), gateways, cloudreve)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def access_log(self) -> str:
        """Its access log."""
        return (self.folder / "log" / "access.log").read_text()

    @property
    def error_log(self) -> str:
        """Its error log."""
        return (self.folder / "log" / "error.log").read_text()

    @property
    def stored(self) -> list[Path]:
        """The files of its cache."""
        return [path for path in (self.folder / "cache").rglob("*") if path.is_file()]

    def check(self) -> str:
        """Run `nginx -t`, and give what it says beside that all is well."""
        self._write()
        done = subprocess.run([*self._command(), "-t"], capture_output=True, text=True, check=False, timeout=START_S)  # noqa: S603 - our own files
        assert done.returncode == 0, done.stderr
        lines = done.stderr.splitlines()
        return "\n".join(line for line in lines if "syntax is ok" not in line and "is successful" not in line)

    def start(self) -> Nginx:
        """Start it, and wait until it listens."""
        self._write()
        self._process = subprocess.Popen(self._command())  # noqa: S603 - our own files
        if listens(self._process, self.port):
            return self
        raise AssertionError(f"nginx did not start: {self.error_log}")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_S)
            self._process = None

    def _write(self) -> None:
        for name in ("log", "cache"):
            (self.folder / name).mkdir(exist_ok=True)
        user = "user root;" if os.geteuid() == 0 else ""  # its workers are to write into a folder of ours
        (self.folder / "nginx.conf").write_text(_MAIN.format(user=user, folder=self.folder))
        (self.folder / "thumb-proxy.conf").write_text(self.site)
        (self.folder / "upstreams.conf").write_text(self.upstreams)

    def _command(self) -> list[str]:
        program = shutil.which("nginx") or "nginx"
        return [program, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "stderr"]


def _placed(site: str, port: int, folder: Path) -> str:
    site = _replaced(site, "listen 80;", f"listen 127.0.0.1:{port};")
    site = _replaced(site, "/var/log/nginx/", f"{folder}/log/")
    return _replaced(site, "/var/cache/nginx-thumb-proxy", f"{folder}/cache")


def _pointed(upstreams: str, gateways: Sequence[int], cloudreve: int) -> str:
    [first, *others] = re.findall(r".*server 127\.0\.0\.1:808\d .*\n", upstreams)
    lines = "".join(re.sub(r":\d+", f":{port}", first, count=1) for port in gateways)
    upstreams = _replaced(upstreams, first, lines)
    for line in others:
        upstreams = _replaced(upstreams, line, "")
    return _replaced(upstreams, "127.0.0.1:5212", f"127.0.0.1:{cloudreve}")


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"there is no single {old!r} any more"
    return text.replace(old, new)
