"""Each command in a block of the documents is run by a test, or is listed here with the reason."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.planning import __main__ as capacity
from proxy import cli
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, gateway_of, in_share

ROOT = Path(__file__).parent.parent
DOCUMENTS = (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("deploy/*.md")))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"(?:deploy/|\.ci/|thumb-proxy |curl |apt-get |export |docker |openssl |systemctl )")

FRESH_ROOT, HERE = "tests/deploy/test_fresh_root.py", "tests/test_commands.py"
RUN_BY = {
    "apt-get install --yes": "tests/deploy/fresh_root.py::bootstrap",
    "curl -o picture.png": f"{FRESH_ROOT}::test_the_readmes_picture_is_saved",
    "deploy/capacity": "tests/deploy/test_capacity.py::test_the_figures_that_come_with_it_plan_three_sites",
    "deploy/capacity --pictures": f"{HERE}::test_capacity_is_computed",
    "deploy/run": f"{FRESH_ROOT}::test_the_demo_and_a_site_without_installation_are_served",
    "deploy/run check": f"{FRESH_ROOT}::test_the_doctor_finds_that_whole_site_well",
    "deploy/run check --uri": f"{FRESH_ROOT}::test_the_doctor_finds_that_whole_site_well",
    "deploy/run init": f"{FRESH_ROOT}::test_a_visitor_sees_a_picture",
    "deploy/run install --name": f"{FRESH_ROOT}::test_a_visitor_sees_a_picture",
    "deploy/run purge --all": f"{FRESH_ROOT}::test_commands_speak_to_the_service",
    "export": f"{FRESH_ROOT}::test_commands_speak_to_the_service",
    "thumb-proxy purge": f"{HERE}::test_a_purge_of_the_documents_is_taken",
    "thumb-proxy warm": "tests/warm/test_command.py::test_an_account_of_the_configuration_lends_its_eyes",
}
"""By how commands begin; the longest beginning counts."""
NOT_RUN = {
    ".ci/run": "it runs these tests",
    "deploy/aiohttp": "it runs some of these tests in other environments",
    "deploy/capacity --figures": "the file is that of --measure; without it the same is computed",
    "deploy/capacity --measure": "it takes minutes; test_capacity.py holds a small site against its plan",
    "deploy/lowest": "it runs these tests in another environment",
    "deploy/test": "it runs these tests",
}


def commands() -> list[str]:
    """List the lines of all blocks that are commands, without their comments."""
    found = []
    for path in DOCUMENTS:
        for _, block in BLOCK.findall(path.read_text(encoding="utf-8")):
            found += [line.partition(" #")[0].strip() for line in block.splitlines() if PROGRAM.match(line)]
    return sorted(set(found))


def beginning(command: str) -> str | None:
    """Give the longest beginning of a command that is listed."""
    listed = (each for each in (*RUN_BY, *NOT_RUN) if f"{command} ".startswith(f"{each} "))
    return max(listed, key=len, default=None)


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_documents_is_run_or_has_a_reason(command: str) -> None:
    assert beginning(command) is not None


def test_no_command_is_listed_that_no_document_has() -> None:
    assert {beginning(command) for command in commands()} == {*RUN_BY, *NOT_RUN}


@pytest.mark.parametrize("test", sorted(set(RUN_BY.values())))
def test_every_test_that_is_named_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_every_block_of_commands_says_that_it_is_for_a_shell() -> None:
    """Readers see it coloured, and no command is in any other, nor in lines that are indented."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        assert not any(PROGRAM.match(line) for line in re.findall(r"^ {4}(.*)$", text, re.MULTILINE)), path
        for kind, block in BLOCK.findall(text):
            assert any(PROGRAM.match(line) for line in block.splitlines()) == (kind == "sh"), (path, block)


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("thumb-proxy purge")])
async def test_a_purge_of_the_documents_is_taken(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends what it names: the picture is asked for anew."""
    async with StandIn(size=(40, 30)) as cloudreve, gateway_of(cloudreve.own_url) as gateway:
        asked = (in_share(cloudreve), None) if "--share" in command else (ONE, cloudreve.token())
        owner, share = cloudreve.library.alice.id, cloudreve.library.share.id
        assert [(await gateway.ask(*asked)).is_hit for _ in range(2)] == [False, True]
        named = command.replace("<user id>", owner).replace("<share id>", share).replace("one.jpg", "one.png")
        answer = await asyncio.to_thread(_ordered, shlex.split(named)[1:], gateway, cloudreve, monkeypatch)
        assert "processes: 1" in answer
        assert not (await gateway.ask(*asked)).is_hit


def _ordered(words: list[str], gateway: GatewayClient, cloudreve: StandIn, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("THUMB_PROXY_CLOUDREVE__URL", cloudreve.own_url)
    monkeypatch.setenv("THUMB_PROXY_ADMIN__PORT", str(gateway.running.admin_port))
    done = CliRunner().invoke(cli._cli, words)  # noqa: SLF001
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("deploy/capacity --pictures")])
def test_capacity_is_computed(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the figures that come with it, here with few visits."""
    monkeypatch.setattr(capacity, "SIMULATED_VISITS", 1_000)
    monkeypatch.setattr("sys.argv", shlex.split(command))
    with pytest.raises(SystemExit) as ended:
        capacity.main()
    assert ended.value.code == 0
    assert "pictures" in capsys.readouterr().out
