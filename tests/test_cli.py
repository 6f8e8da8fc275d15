"""The command line: what it prints, how it exits, and that nobody sees a traceback."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from typer.testing import CliRunner, Result

from proxy import __version__, cli
from proxy.doctor import examination
from proxy.doctor.finding import Finding, Verdict
from proxy.settings import Settings
from proxy.settings.sources import load

COMMAND = [sys.executable, "-c", "from proxy.cli import main; main()"]
ROOT = Path(__file__).parent.parent
SITE = ["--cloudreve-url", "http://127.0.0.1:1"]


@pytest.fixture(autouse=True)
def _free_admin_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMB_PROXY_ADMIN__PORT", "0")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli._cli, arguments)  # noqa: SLF001 - what main() runs


def plain(text: str) -> str:
    """Take the colours and the line breaks out."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())


def test_help_names_the_commands_and_the_exit_codes() -> None:
    text = plain(run("--help").output)
    assert all(word in text for word in ("serve", "demo", "check", "THUMB_PROXY_SECTION__KEY", "Exit codes"))
    assert plain(run().output) == text


@pytest.mark.parametrize("command", ["serve", "demo", "check", "settings"])
def test_every_command_explains_its_flags(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "--help" in result.output


def test_help_comes_at_once() -> None:
    heavy = "{'aiohttp', 'pydantic', 'redis', 'structlog', 'uvloop', 'prometheus_client'}"
    code = f"import sys, proxy.cli; sys.exit(bool({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own code


def test_the_version_is_shown() -> None:
    shown = run("--version").output
    assert re.fullmatch(rf"thumb-proxy {re.escape(__version__)}( \([0-9a-f]{{12}}\))?\n", shown)


def test_the_package_runs_as_the_command() -> None:
    """By `python -m proxy`."""
    shown = subprocess.run([sys.executable, "-m", "proxy", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == run("--version").output


def test_every_setting_can_be_printed_and_what_is_printed_can_be_served(tmp_path: Path) -> None:
    """A pip install has no other place for them; the help of --config leads there."""
    (tmp_path / "all.toml").write_text(run("settings").stdout)
    assert load(tmp_path / "all.toml").server.port == 8080
    assert "thumb-proxy settings" in plain(run("serve", "--help").output)


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_configuration_that_cannot_be_used_exits_with_2(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each problem is named; nothing else is printed."""
    monkeypatch.setenv("THUMB_PROXY_SERVER__PORTS", "1")
    result = run(command)
    assert result.exit_code == cli.BAD_CONFIGURATION
    assert "there are 2 problems" in result.stderr
    assert "THUMB_PROXY_SERVER__PORTS" in result.stderr
    assert "cloudreve.url is missing" in result.stderr
    assert "Traceback" not in result.output
    assert not result.stdout


def test_a_bad_flag_is_named_as_it_was_written() -> None:
    result = run("serve", "--cloudreve-url", "cloud.example.com")
    assert result.exit_code == cli.BAD_CONFIGURATION
    assert "(flag --cloudreve-url)" in result.stderr


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [((Verdict.OK,), 0), ((Verdict.OK, Verdict.ADVICE), 0), ((Verdict.PROBLEM, Verdict.OK), cli.PROBLEMS)],
)
def test_check_exits_with_0_only_when_there_is_no_problem(
    verdicts: tuple[Verdict, ...], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def examine(settings: Settings, uri: str | None) -> list[Finding]:
        assert settings.cloudreve.url == "http://127.0.0.1:1"
        assert uri == "cloudreve://AEUa@share/one.jpg"
        return [Finding(verdict, "site", f"This is {verdict}.") for verdict in verdicts]

    monkeypatch.setattr(examination, "examine", examine)
    result = run("check", *SITE, "--uri", "cloudreve://AEUa@share/one.jpg")
    assert result.exit_code == code
    assert all(f"This is {verdict}." in result.stdout for verdict in verdicts)


@pytest.fixture
def served() -> Iterator[subprocess.Popen[str]]:
    """Run `thumb-proxy serve` as people do, on a free port."""
    process = subprocess.Popen([*COMMAND, "serve", "--port", "0", *SITE], stderr=subprocess.PIPE, text=True)  # noqa: S603
    yield process
    process.kill()
    process.communicate()


async def test_serve_answers_until_it_is_told_to_stop(served: subprocess.Popen[str]) -> None:
    """It logs in JSON where it serves, also while Cloudreve is away; SIGTERM is a clean end."""
    assert served.stderr is not None
    lines = (json.loads(line) for line in served.stderr)
    port = next((line["port"] for line in lines if line["event"] == "serving"), None)
    assert port is not None
    async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/healthz") as response:
        assert response.status == 200
    served.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(served.wait) == 0


def test_a_socket_never_gets_the_number_of_a_standard_stream() -> None:
    """A process may be started without them, and libuv aborts when such a socket is closed."""
    code = (
        "import socket, sys; from proxy import cli; cli._cli = lambda: None; cli.main();"
        "sys.exit(socket.socket().fileno() <= 2)"
    )
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", code]
    assert subprocess.run(command, check=False).returncode == 0  # noqa: S603 - our own code


async def test_the_demo_says_where_it_is_and_shows_a_page() -> None:
    """It needs no configuration, and Ctrl-C is a clean end."""
    demo = subprocess.Popen([*COMMAND, "demo", "--port", "0"], stdout=subprocess.PIPE, text=True)  # noqa: S603, ASYNC220
    try:
        assert demo.stdout is not None
        address = next((word for line in demo.stdout for word in line.split() if word.startswith("http")), None)
        assert address is not None
        async with ClientSession() as session, session.get(address) as response:
            assert response.content_type == "text/html"
        demo.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(demo.wait) == 0
    finally:
        demo.kill()
        demo.communicate()


def test_serve_on_a_taken_port_ends_with_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = serve("--host", "127.0.0.1", "--port", port)
    assert result.returncode == cli.PROBLEMS
    assert "cannot serve" in result.stderr.splitlines()[-1]
    assert port in result.stderr
    assert "server.port (--port) and admin.port choose others" in result.stderr
    assert "Traceback" not in result.stderr


def test_serve_on_a_host_that_is_not_ours_names_the_setting() -> None:
    """And the address; several workers meet it in another place."""
    for workers in ("1", "2"):
        result = serve("--host", "192.0.2.1", "--port", "0", THUMB_PROXY_SERVER__WORKERS=workers)
        assert result.returncode == cli.PROBLEMS
        assert "server.host (--host) and admin.host have to be addresses of this machine" in result.stderr
        assert "192.0.2.1" in result.stderr


def test_serve_with_several_workers_names_the_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = serve("--host", "127.0.0.1", "--port", port, THUMB_PROXY_SERVER__WORKERS="2")
    assert f"cannot serve: 127.0.0.1 port {port}: Address already in use" in result.stderr


def test_the_demo_takes_ports_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the gateway; a flag wins, and a bad one is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for name in ("SERVER__PORT", "ADMIN__PORT"):
            environment = os.environ | {"THUMB_PROXY_SERVER__PORT": "0", f"THUMB_PROXY_{name}": port}
            command = [*COMMAND, "demo"]
            result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
            assert f"'127.0.0.1', {port}" in result.stderr
    monkeypatch.setenv("THUMB_PROXY_SERVER__PORT", "eighty")
    assert "THUMB_PROXY_SERVER__PORT" in plain(run("demo").output)


def test_the_demo_does_not_hide_a_misspelt_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has set one wants to see a Cloudreve of their own."""
    monkeypatch.setenv("THUMB_PROXY_CLOUDREVE_URL", "http://127.0.0.1:5212")
    result = run("demo", "--port", "0")
    assert result.exit_code == cli.BAD_CONFIGURATION
    assert "Did you mean THUMB_PROXY_CLOUDREVE__URL?" in result.stderr


def test_an_unexpected_error_is_logged_without_its_message(tmp_path: Path) -> None:
    """It may hold anything; type and place are enough to find it."""
    (tmp_path / "sitecustomize.py").write_text(
        "from proxy.workers import single\n"
        "async def serve(settings, reload): raise ValueError('S3CRET')\n"
        "single.serve = serve\n",
        encoding="utf-8",
    )
    result = serve("--port", "0", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert result.returncode == cli.PROBLEMS
    (line,) = result.stderr.splitlines()
    assert json.loads(line)["exception"][0]["type"] == "ValueError"
    assert "S3CRET" not in line


def serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `thumb-proxy serve` to its end."""
    command = [*COMMAND, "serve", *SITE, *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)  # noqa: S603
