"""Installs the gateway as a service of systemd behind nginx, and undoes it."""

from __future__ import annotations

import os
import stat
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.settings import Settings
from proxy.settings.sources import SECRETS_FOLDER
from proxy.setup import nginx_site
from proxy.setup.machine import MANIFEST, Machine, StepFailed
from proxy.setup.shipped import shipped

USER = "thumb-proxy"
CONFIGURATION = "/etc/thumb-proxy"
UNIT = "/etc/systemd/system/thumb-proxy@.service"
READY_S = 60.0
_CACHES = ("/var/cache/thumb-proxy", "/var/cache/nginx-thumb-proxy")
_HOMES = ("/root/", "/home/")
_PROGRAM = "/opt/thumb-proxy/.venv/bin/thumb-proxy"


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts of an installation."""

    settings: Settings
    config: Path
    """The configuration file; secrets lie in the directory beside it."""
    ports: tuple[int, ...]
    name: str = ""
    """The site's name for nginx; none where it is empty."""
    certificate: tuple[Path, Path] | None = None


def obstacles(machine: Machine, plan: Plan) -> Iterator[str]:
    """Say what has to be mended before anything can be installed."""
    if machine.runs and os.geteuid() != 0:
        yield "Only root can install a service: run this with sudo."
    if machine.runs and not Path("/run/systemd/system").is_dir():
        yield "systemd does not run here: --dry-run says what there would be to do."
    yield from filter(None, map(_unreachable, (program(), Path(sys.executable).resolve())))
    if plan.name and not machine.path("/etc/nginx/conf.d").is_dir():
        yield "There is no /etc/nginx/conf.d: on Debian apt-get install nginx-light, or leave --name out."
    if plan.name and plan.settings.cloudreve.url.startswith("https://") and not plan.settings.server.passthrough:
        yield "The nginx site reaches Cloudreve by http only: leave --name out, and write a site of your own."


def install(machine: Machine, plan: Plan) -> None:
    """Do every step; raise StepFailed at the first that cannot be done."""
    try:
        _files(machine, plan)
    finally:
        machine.remember(ports=[str(port) for port in plan.ports])
    _start(machine, plan)


def _files(machine: Machine, plan: Plan) -> None:
    machine.folder(CONFIGURATION, 0o755)
    _user(machine)
    machine.folder(f"{CONFIGURATION}/{SECRETS_FOLDER}", 0o700, USER)
    machine.write(f"{CONFIGURATION}/config.toml", plan.config.read_text(encoding="utf-8"))
    for path in sorted((plan.config.parent / SECRETS_FOLDER).glob("*")):
        machine.write(f"{CONFIGURATION}/{SECRETS_FOLDER}/{path.name}", path.read_text(encoding="utf-8"), 0o600, USER)
    for port in plan.ports:
        line = f"# What is different for the gateway on port {port}, such as THUMB_PROXY_LOG__LEVEL=debug\n"
        if not machine.path(f"{CONFIGURATION}/{port}.env").exists():
            machine.write(f"{CONFIGURATION}/{port}.env", line)
    machine.write(UNIT, shipped("thumb-proxy@.service").replace(_PROGRAM, str(program())))
    if plan.name:
        machine.write(nginx_site.SITE, nginx_site.site(plan.name, plan.certificate))
        machine.write(nginx_site.UPSTREAMS, _upstreams(plan))


def remove(machine: Machine) -> None:
    """Undo what an installation has done; what was there before it stays."""
    known = machine.recall()
    if not known:
        raise StepFailed(f"Nothing is installed here: there is no {MANIFEST}.")
    units = [f"thumb-proxy@{port}" for port in known.get("ports", [])]
    machine.run("systemctl", "disable", "--now", *units)
    for name in (*reversed(known.get("made", [])), MANIFEST, *_CACHES):
        machine.remove(name)
    machine.run("systemctl", "daemon-reload")
    for user in known.get("users", []):
        machine.run("userdel", user)
    if nginx_site.SITE in known.get("made", []):
        machine.run("systemctl", "reload", "nginx")


def program() -> Path:
    """Give the path of this program."""
    return Path(sys.prefix) / "bin" / "thumb-proxy"


def _user(machine: Machine) -> None:
    passwd = machine.path("/etc/passwd")
    if passwd.exists() and any(line.startswith(f"{USER}:") for line in passwd.read_text().splitlines()):
        machine.tell(f"user {USER}: there already")
        return
    machine.users.append(USER)
    machine.run("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", USER)


def _upstreams(plan: Plan) -> str:
    settings = plan.settings
    return nginx_site.upstreams(plan.ports, settings.cloudreve.url, whole_site=settings.server.passthrough)


def _start(machine: Machine, plan: Plan) -> None:
    if plan.name:
        machine.run("nginx", "-t")
    machine.run("systemctl", "daemon-reload")
    units = [f"thumb-proxy@{port}" for port in plan.ports]
    machine.run("systemctl", "enable", *units)
    machine.run("systemctl", "restart", *units)
    if machine.runs:
        for port in plan.ports:
            _wait(machine, port)
    if plan.name:
        machine.run("systemctl", "enable", "--now", "nginx")
        machine.run("systemctl", "reload", "nginx")


def _wait(machine: Machine, port: int) -> None:
    """Wait until a gateway may take traffic."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                machine.tell(f"the gateway on port {port} is ready")
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise StepFailed(f"The gateway on port {port} does not get ready; see: journalctl --unit=thumb-proxy@{port}")


def _unreachable(path: Path) -> str:
    """Say why the service could not start a program; empty where it could."""
    if str(path).startswith(_HOMES):
        return (
            f"{path} lies in a home directory, which no service may read. On Debian: apt-get install python3-venv; "
            "put the project into /opt/thumb-proxy, remove its .venv if there is one, and run deploy/run install there."
        )
    closed = next((above for above in path.parents if not above.stat().st_mode & stat.S_IXOTH), None)
    return f"Other users may not enter {closed}, so that the service could not start {path}." if closed else ""
