"""Buildah and podman with storage and settings of their own, and images of a Debian where no registry is reached."""

from __future__ import annotations

import os
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

from tests.deploy.fresh_root import ROOT, run

BASE = "docker.io/library/python:3.13-slim"
"""The name by which the Dockerfile asks for its base; here it is Debian's Python."""
GATEWAY = "localhost/thumb-proxy:latest"
_ENGINE = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
[network]
network_config_dir = "{folder}/networks"
"""
_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""
_BUILDING = ("--quiet", "--pull-never", "--network=host")
_REGISTRIES = 'unqualified-search-registries = ["docker.io"]\nshort-name-mode = "disabled"\n'


class Images:
    """A store of images and containers in a folder; nothing of it stays on the machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = dict(os.environ)
        files = {"containers": _ENGINE, "storage": _STORAGE, "registries": _REGISTRIES}
        variables = ("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF")
        for variable, (name, text) in zip(variables, files.items(), strict=True):
            path = folder / f"{name}.conf"
            path.write_text(text.format(folder=folder))
            self.environment[variable] = str(path)
        self.environment |= {"BUILDAH_ISOLATION": "chroot", "BUILDAH_FORMAT": "docker", "DISABLE_HC_SYSTEMD": "true"}

    def close(self) -> None:
        """End all containers, and let go of the folder."""
        self.podman("rm", "--all", "--force", "--time=0", "--volumes")
        self.run("umount", "--recursive", "--quiet", str(self.folder / "storage" / "overlay"), may_fail=True)

    def add_base(self, debian: Path) -> None:
        """Make the base of the images of a Debian in an archive."""
        self.podman("import", "--quiet", str(debian), "localhost/debian:latest")
        self.build(BASE, "FROM localhost/debian\nRUN ln -s /usr/bin/python3 /usr/local/bin/python\n")

    def build(self, name: str, containerfile: str) -> None:
        """Build an image without a context."""
        context = self.folder / "context"
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text(containerfile)
        self.run("buildah", "bud", *_BUILDING, f"--tag={name}", str(context))

    def build_gateway(self) -> None:
        """Build the Dockerfile as it is; pip has the settings that it has on this machine."""
        mounts, file = _pip_of_this_machine(self.folder), ROOT / "deploy" / "Dockerfile"
        self.run("buildah", "bud", *_BUILDING, *mounts, f"--file={file}", f"--tag={GATEWAY}", str(ROOT))

    def podman(self, *arguments: str, may_fail: bool = False) -> str:
        """Run podman, and give its output."""
        return self.run("podman", *arguments, may_fail=may_fail)

    def run(self, *command: str, may_fail: bool = False, **variables: str) -> str:
        """Run a program that works with this store, and give its output."""
        return run(command, fails=None if may_fail else False, environment=self.environment | variables)


def _pip_of_this_machine(folder: Path) -> list[str]:
    """Give the mounts by which pip in a build has the settings of pip here, the file of its certificates among them."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings = {name.rpartition(".")[2]: literal_eval(value) for name, value in _pairs(listed) if name != "config-file"}
    path = folder / "pip.conf"
    path.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    places = {path: "/etc/pip.conf"} | {Path(value): value for value in settings.values() if value.startswith("/")}
    return [f"--volume={place}:{there}:ro" for place, there in places.items() if place.exists()]


def _pairs(listed: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (line.partition("=") for line in listed.splitlines())]
