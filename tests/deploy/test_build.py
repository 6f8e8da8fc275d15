"""Sdist and wheel: what is in them, and that a fresh environment runs the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from proxy import __version__

ROOT = Path(__file__).parents[2]
SHIPPED = {
    f"proxy/shipped/{name}" for name in ("default.toml", "thumb-proxy@.service", "thumb-proxy.conf", "upstreams.conf")
}
"""Files that `init` and `install` need beside the code."""


def output(*command: str | Path) -> str:
    """Run a command, which must succeed, and give what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=50)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    output(ROOT / "deploy" / "build", folder)
    return folder


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """List the files that git knows and that are there."""
    return {name for name in output("git", "ls-files", "-z").split("\0") if name and (ROOT / name).exists()}


def test_the_sdist_has_the_documents_and_no_file_that_git_does_not_know(dist: Path, tracked: set[str]) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    made = {name for name in names if "egg-info/" in name} | {"PKG-INFO", "setup.cfg", "proxy/commit.txt"} | SHIPPED
    assert names - made <= tracked
    assert names >= {name for name in tracked if name.startswith(("config/", "docs/", "deploy/", "proxy/", "tests/"))}
    assert names >= {"README.md", "CHANGELOG.md", "LICENSE"}


def test_the_wheel_has_every_module_and_the_page_of_the_demo(dist: Path, tracked: set[str]) -> None:
    (path,) = dist.glob("*.whl")
    names = {name for name in zipfile.ZipFile(path).namelist() if ".dist-info/" not in name}
    package = {name for name in tracked if name.startswith("proxy/")}
    assert names == {name for name in package if not name.endswith(".png")} | {"proxy/commit.txt"} | SHIPPED


def test_a_fresh_environment_runs_the_wheel(dist: Path, tmp_path: Path) -> None:
    """The dependencies are those of this environment; the project itself is the wheel's."""
    (wheel,) = dist.glob("*.whl")
    python = tmp_path / "bin" / "python"
    output(sys.executable, "-m", "venv", "--without-pip", tmp_path)
    pip = ("-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", "--no-compile")
    output(sys.executable, *pip, wheel)
    packages = Path(output(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    commit = output("git", "rev-parse", "--short=12", "HEAD").strip()
    shown = output(tmp_path / "bin" / "thumb-proxy", "--version")
    assert re.fullmatch(rf"thumb-proxy {re.escape(__version__)} \({commit}(-dirty)?\)\n", shown)
    assert output(python, "-P", "-c", "import proxy; print(proxy.__file__)").startswith(str(packages))
    assert output(tmp_path / "bin" / "thumb-proxy", "settings") == (ROOT / "config" / "default.toml").read_text()
    assert "--uri" in output(tmp_path / "bin" / "thumb-proxy", "check", "--help")
