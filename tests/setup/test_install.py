"""`thumb-proxy install` into the files of a machine that does not run; tests/deploy has one that does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from proxy import cli
from proxy.setup import service

NAME = "cloud.example.com"
FILES = [
    "etc/nginx/conf.d/thumb-proxy.conf",
    "etc/nginx/conf.d/upstreams.conf",
    "etc/systemd/system/thumb-proxy@.service",
    "etc/thumb-proxy/8080.env",
    "etc/thumb-proxy/9000.env",
    "etc/thumb-proxy/config.toml",
    "etc/thumb-proxy/secrets/redis__url",
]


@pytest.fixture(autouse=True)
def _program_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program lie where a service may read it, as the test's own does not."""
    monkeypatch.setattr(service, "_unreachable", lambda _: "")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write what `init` would."""
    path = tmp_path / "local.toml"
    path.write_text('[cloudreve]\nurl = "http://10.0.0.5:5213"\n')
    (tmp_path / "secrets").mkdir(mode=0o700)
    (tmp_path / "secrets" / "redis__url").write_text("redis://:S3CRET@cache\n")
    return path


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Give the root of a machine with nginx."""
    root = tmp_path / "machine"
    (root / "etc" / "nginx" / "conf.d").mkdir(parents=True)
    (root / "etc" / "systemd" / "system").mkdir(parents=True)
    return root


def install(machine: Path, config: Path, *flags: str) -> Result:
    command = ["install", "--config", str(config), "--root", str(machine), "--ports", "8080,9000", *flags]
    return CliRunner().invoke(cli._cli, command)  # noqa: SLF001 - what main() runs


def files(machine: Path) -> list[str]:
    return sorted(str(path.relative_to(machine)) for path in machine.rglob("*") if path.is_file())


def test_everything_is_put_into_its_place_and_each_step_is_told(machine: Path, config: Path) -> None:
    """Commands that need a machine that runs are left to be run there."""
    result = install(machine, config, "--name", NAME)
    assert result.exit_code == 0, result.output
    assert files(machine) == sorted([*FILES, "etc/thumb-proxy/installed.json"])
    for name in FILES:
        assert f"file /{name}\n" in result.output
    assert "to run: systemctl enable thumb-proxy@8080 thumb-proxy@9000\n" in result.output
    assert "to run: useradd --system" in result.output
    assert "S3CRET" not in result.output
    assert (machine / FILES[-1]).stat().st_mode & 0o777 == 0o600
    unit = (machine / FILES[2]).read_text()
    assert f"ExecStart={service.program()} serve" in unit


def test_the_site_has_the_name_the_gateways_and_cloudreve(machine: Path, config: Path) -> None:
    """Of the configuration; with a certificate it is https, and http leads there."""
    install(machine, config, "--name", NAME, "--certificate", "/etc/ssl/c.pem", "--key", "/etc/ssl/k.pem")
    site, upstreams = ((machine / name).read_text() for name in FILES[:2])
    assert re.findall(r"^    (?:listen|server_name|ssl_\w+|return) .*;$", site, re.MULTILINE) == [
        "    listen 443 ssl;",
        "    ssl_certificate /etc/ssl/c.pem;",
        "    ssl_certificate_key /etc/ssl/k.pem;",
        f"    server_name {NAME};",
        "    listen 80;",
        f"    server_name {NAME};",
        f"    return 301 https://{NAME}$request_uri;",
    ]
    assert re.findall(r"^    server (\S+) ", upstreams, re.MULTILINE) == [
        "127.0.0.1:8080",
        "127.0.0.1:9000",
        "10.0.0.5:5213",
    ]


def test_in_front_of_the_whole_site_all_goes_to_the_gateways(machine: Path, config: Path) -> None:
    config.write_text(config.read_text() + '[server]\npassthrough = true\n[session]\npath = "/api/session"\n')
    install(machine, config, "--name", NAME)
    upstreams = (machine / FILES[1]).read_text()
    assert re.findall(r"^    server (\S+) ", upstreams, re.MULTILINE) == ["127.0.0.1:8080", "127.0.0.1:9000"] * 2


def test_removing_leaves_what_was_there_before(machine: Path, config: Path) -> None:
    before = machine / "etc" / "nginx" / "conf.d" / "upstreams.conf"
    before.write_text("# mine\n")
    install(machine, config, "--name", NAME)
    install(machine, config, "--name", NAME)  # as after a change
    result = install(machine, config, "--remove")
    assert result.exit_code == 0, result.output
    assert files(machine) == ["etc/nginx/conf.d/upstreams.conf"]
    assert "to run: userdel thumb-proxy\n" in result.output
    again = install(machine, config, "--remove")
    assert again.exit_code == 1
    assert "Nothing is installed here" in again.stderr


def test_a_dry_run_changes_nothing(machine: Path, config: Path) -> None:
    result = install(machine, config, "--name", NAME, "--dry-run")
    assert result.exit_code == 0, result.output
    assert files(machine) == []
    assert "to run: systemctl enable thumb-proxy@8080 thumb-proxy@9000\n" in result.output


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--ports", "80 81"), "accepted is 8080,8081"),
        (("--ports", "70000"), "accepted is 8080,8081"),
        (("--name", NAME, "--certificate", "c.pem"), "needed together"),
        (("--config", "/nowhere.toml"), "`thumb-proxy init` makes one"),
    ],
)
def test_flags_that_cannot_be_used_are_told(flags: tuple[str, ...], told: str, machine: Path, config: Path) -> None:
    result = install(machine, config, *flags)
    assert result.exit_code == cli.BAD_CONFIGURATION
    assert told in result.stderr
    assert files(machine) == []


def test_a_machine_without_nginx_is_told(machine: Path, config: Path) -> None:
    (machine / "etc" / "nginx" / "conf.d").rmdir()
    result = install(machine, config, "--name", NAME)
    assert "apt-get install nginx-light" in result.stderr
    assert install(machine, config).exit_code == 0


def test_a_program_that_the_service_could_not_read_is_told(
    machine: Path, config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a home directory, or below a directory that is closed to others."""
    monkeypatch.undo()
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True)
    closed.chmod(0o700)
    for prefix, told in (("/home/me/venv", "lies in a home directory"), (str(closed), "may not enter")):
        monkeypatch.setattr("sys.prefix", prefix)
        result = install(machine, config)
        assert result.exit_code == 1
        assert told in result.stderr
    assert files(machine) == []
