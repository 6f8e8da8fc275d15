"""A Debian on which nothing was done yet, in a directory: for what the documents say about a new machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = "/opt/thumb-proxy"
PACKAGES = ("ca-certificates", "curl", "iproute2", "nginx-light", "openssl", "python3-venv", "redis-server", "systemd")
LONGEST_S = 280.0
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_NSPAWN = ("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe", "--directory")
_UNIT = """\
[Unit]
FailureAction=poweroff
[Service]
Type=oneshot
TimeoutStartSec=250
ExecStart=/bin/sh -c '/bin/sh -eux /script >/told 2>&1; echo $? >/status; systemctl poweroff --no-block'
[Install]
WantedBy=multi-user.target
"""
_PIP = ("PIP_CERT", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "SSL_CERT_FILE")
"""How this machine reaches an index of packages; a new one of its own would have its own way."""


def bootstrap(archive: Path) -> Path:
    """Write a Debian with the packages that the documents ask for into an archive (tar)."""
    packages, patient = f"--include={','.join(PACKAGES)}", '--aptopt=Acquire::Retries "5"'
    run(["mmdebstrap", "--quiet", "--variant=minbase", patient, packages, "bookworm", str(archive)])
    return archive


class FreshRoot:
    """The directory, and commands that run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, debian: Path) -> FreshRoot:
        """Unpack a Debian, and let pip of this machine work there."""
        self.folder.mkdir()
        run(["tar", "--extract", "--preserve-permissions", f"--file={debian}", f"--directory={self.folder}"])
        for path in (_CERTIFICATES, Path("/etc/resolv.conf"), Path("/etc/hosts")):
            shutil.copyfile(path, self.folder / path.relative_to("/"))
        return self

    def put_project(self) -> None:
        """Unpack the project as an archive of it would: the files that git knows."""
        target = self.folder / PROJECT.lstrip("/")
        target.mkdir(parents=True)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).exists():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, target / name, follow_symlinks=False)

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command as root of that machine, on which nothing else runs; give its output."""
        environment = {"LC_ALL": "C.UTF-8"} | {name: os.environ[name] for name in _PIP if name in os.environ}
        given = [f"--setenv={name}={value}" for name, value in environment.items()]
        return run([*_NSPAWN, str(self.folder), *given, *command], fails=fails)

    def boot(self, script: str) -> str:
        """Start that machine, on a network of its own, run a script that has to end well, and give its output."""
        (self.folder / "script").write_text(f"cd {PROJECT}\n{script}")
        (self.folder / "etc/systemd/system/script.service").write_text(_UNIT)
        self.run("systemctl", "enable", "--quiet", "script.service")
        run([*_NSPAWN, str(self.folder), "--boot", "--private-network"])
        told = (self.folder / "told").read_text()
        assert (self.folder / "status").read_text() == "0\n", told
        return told


def run(command: Sequence[str], *, fails: bool | None = False, environment: Mapping[str, str] | None = None) -> str:
    """Run a command, which has to succeed or to fail (None: either), and give its output."""
    done = subprocess.run(  # noqa: S603 - our own commands
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LONGEST_S,
    )
    assert fails in (None, done.returncode != 0), f"{command}: {done.stdout}"
    return done.stdout
