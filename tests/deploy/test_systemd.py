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


@pytest.mark.parametrize("port", [8080, 65535])
def test_the_gateway_understands_its_settings(port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A place each for visitors and operators, whatever the port; the secrets lie beside the configuration file."""
    [program] = values("ExecStart")
    config = tmp_path / Path(program.rpartition(" ")[2]).name
    config.write_text('[cloudreve]\nurl = "http://127.0.0.1:5212"\n')
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "seal__keys").write_text("0123456789abcdef" * 4 + "\n")
    for name, _, value in (line.partition("=") for line in values("Environment")):
        monkeypatch.setenv(name, value.replace("8080", str(port)))
    settings = load(config)
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", port)
    assert (settings.admin.host, settings.admin.port) == ("127.0.0.2", port)
    assert [key.get_secret_value() for key in settings.seal.keys] == ["0123456789abcdef" * 4]
    [stop] = values("TimeoutStopSec")
    assert float(stop.removesuffix("s")) > settings.server.drain_s + 2 * settings.server.shutdown_s
