"""The systemd unit: systemd finds no fault with it, and the gateway understands it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from proxy.settings.sources import load

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "thumb-proxy@.service"
HIGHEST_EXPOSURE = "12"
"""Of 100; a service without any hardening has 96."""


def values(name: str) -> list[str]:
    """Give what the unit says under a name, for the instance 8080."""
    found = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return [value.replace("%i", "8080") for value in found]


def analyze(*arguments: str) -> str:
    """Run systemd-analyze, which must not complain."""
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603, S607
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


@pytest.mark.needs("systemd-analyze")
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """The program alone is not there, since nothing is installed."""
    unit = tmp_path / "thumb-proxy@8080.service"
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    told = analyze("verify", "--man=no", "--recursive-errors=no", str(unit))
    assert "thumb-proxy" not in told


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_it_hardly_exposed() -> None:
    """What is left is what a server on a network cannot do without."""
    analyze("security", "--offline=true", "--no-pager", f"--threshold={HIGHEST_EXPOSURE}", str(UNIT))


def test_the_gateway_understands_its_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A port each for visitors and operators, and the secrets where systemd puts them."""
    for credential in values("LoadCredential"):
        (tmp_path / credential.partition(":")[0]).write_text("0123456789abcdef" * 4 + "\n")
    for name, _, value in (line.partition("=") for line in values("Environment")):
        monkeypatch.setenv(name, value.replace("%d", str(tmp_path)))
    settings = load(None, {"cloudreve.url": "http://127.0.0.1:5212"})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert (settings.admin.host, settings.admin.port) == ("127.0.0.1", 18080)
    assert [key.get_secret_value() for key in settings.seal.keys] == ["0123456789abcdef" * 4]
    [stop] = values("TimeoutStopSec")
    assert float(stop.removesuffix("s")) > settings.server.drain_s + 2 * settings.server.shutdown_s
