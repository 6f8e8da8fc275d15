"""All that the documents name exists, and all that exists is in them."""

from __future__ import annotations

import re
import tomllib
from http import HTTPStatus
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy import __version__, cli
from proxy.domain import errors, protocol_errors
from proxy.domain.refusal import RefusalKind
from proxy.observe.metrics import Metrics
from proxy.settings import KEYS, LISTS, Settings
from tests.harness.cloudreve_targets import NAMES

ROOT = Path(__file__).parent.parent
SETTINGS, OPERATION = (ROOT / "docs" / name for name in ("settings.md", "operation.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("deploy/*.md"))]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}
EVERYTHING = "\n".join(TEXTS.values())
LINKS = [
    (name, target)
    for name, text in TEXTS.items()
    for target in re.findall(r"\]\(([^)\s]+)\)", text)
    if not target.startswith("https://")
]
COMMAND = re.compile(r"(?:deploy/run|thumb-proxy) ([a-z]+)\b([^`\n#]*)")
CITATION = re.compile(r"docs/cloudreve\.md, (.+?)\)")
CITATIONS = sorted(
    {
        (str(path.relative_to(ROOT)), heading)
        for folder in ("proxy", "tests", "deploy")
        for path in ROOT.glob(f"{folder}/**/*.py")
        for heading in CITATION.findall(path.read_text(encoding="utf-8"))
    }
)
CLOUDREVE, ANSWERS = ROOT / "docs" / "cloudreve.md", ROOT / "proxy" / "upstream" / "answers.py"
README_BYTES = 10_000
PATH = re.compile(r"(?<![\w./-])(?:deploy|config|docs|proxy|tests)/[\w./@-]*\w/?")
NAMED_IN_CODE = re.compile(r"metrics\.watch(?:_total)?\(\s*\"(\w+)\"")


def section(path: Path, title: str) -> str:
    return path.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(path: Path, title: str) -> list[str]:
    """List the code in the first cells of a section's table."""
    return re.findall(r"^\| `(?:\[\[)?([\w.]+)(?:\]\])?`", section(path, title), re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """List the anchors that a document's headings have where it is shown."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short() -> None:
    """Everything else is in docs/."""
    assert len(TEXTS["README.md"].encode()) < README_BYTES


def test_every_link_leads_somewhere() -> None:
    assert [(name, target) for name, target in LINKS if not leads_somewhere(name, target)] == []


def leads_somewhere(name: str, target: str) -> bool:
    """Tell whether a document's link has a file, and the file the heading."""
    path, _, anchor = target.partition("#")
    there = (ROOT / name).parent / path if path else ROOT / name
    return there.exists() and (not anchor or anchor in anchors(there))


def test_every_setting_has_a_row_in_the_order_of_the_code() -> None:
    assert first_cells(SETTINGS, "Every key") == [*KEYS, *LISTS]


def test_a_setting_has_the_default_that_the_table_says() -> None:
    """A setting without one is `not set`, or required."""
    cells = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", TEXTS["docs/settings.md"], re.MULTILINE))
    assert [key for key in KEYS if not is_default(key, cells[key])] == []


def is_default(key: str, shown: str) -> bool:
    """Tell whether a key has the default that a cell shows."""
    if shown in ("not set", "required"):
        return KEYS[key].default is None or KEYS[key].is_required()
    value = tomllib.loads(f"value = {shown.strip('`')}")["value"]
    return bool(KEYS[key].default == (tuple(value) if isinstance(value, list) else value))


def test_every_metric_has_a_row() -> None:
    """Those that count and those that watch a value that somebody else keeps."""
    metrics = Metrics()
    metrics.build("1", "")
    counted = {family.name for family in metrics.registry.collect()}
    watched = {
        f"thumb_proxy_{name}" for file in ROOT.glob("proxy/**/*.py") for name in NAMED_IN_CODE.findall(file.read_text())
    }
    named = {name.removesuffix("_total") for name in first_cells(OPERATION, "Metrics")}
    assert named == counted | watched


def test_every_status_is_explained() -> None:
    named = {**vars(errors), **vars(protocol_errors)}
    kinds = [kind for kind in named.values() if isinstance(kind, type) and issubclass(kind, errors.ProxyError)]
    statuses = {kind.status for kind in kinds} | {errors.REFUSALS[kind][0] for kind in RefusalKind}
    explained = {
        int(number)
        for number in re.findall(
            r"\b\d{3}\b", " ".join(re.findall(r"^\|([ 0-9,]+)\|", section(OPERATION, "Status"), re.MULTILINE))
        )
    }
    assert explained == {200, 206, 304} | {int(status) for status in statuses} - {HTTPStatus.INTERNAL_SERVER_ERROR}


def test_the_changelog_has_the_version() -> None:
    versions = re.findall(r"^## \[(.+)\]", TEXTS["CHANGELOG.md"], re.MULTILINE)
    assert versions[:2] == ["Unreleased", __version__]


def test_every_room_is_in_the_architecture() -> None:
    told = re.findall(r"^\| `proxy/([\w.]+)/?` \|", TEXTS["docs/architecture.md"], re.MULTILINE)
    rooms = {
        path.name for path in (ROOT / "proxy").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert sorted(told) == sorted(rooms - {"__init__.py", "__main__.py"})


def test_every_name_of_a_real_cloudreve_is_explained() -> None:
    cells = re.findall(r"^\| (`[A-Z_`, ]+`) \|", TEXTS["CONTRIBUTING.md"], re.MULTILINE)
    named = set(re.findall(r"[A-Z_]+", " ".join(cells)))
    assert named == {"CLOUDREVE_URL", "OAUTH_CLIENT", "OAUTH_SECRET", *NAMES}


def test_every_fact_that_is_cited_has_its_heading() -> None:
    headings = re.findall(r"^## (.+)$", TEXTS["docs/cloudreve.md"], re.MULTILINE)
    assert [(name, heading) for name, heading in CITATIONS if heading not in headings] == []


def test_every_code_that_is_read_is_explained() -> None:
    read = set(re.findall(r"\b\d{3,5}\b(?=: RefusalKind|, \d{5}|\})", ANSWERS.read_text(encoding="utf-8")))
    table = " ".join(re.findall(r"^\| ([-\d, ]+) \|", section(CLOUDREVE, "Codes"), re.MULTILINE))
    assert len(read) > 20
    assert read <= set(re.findall(r"\d+", table))


def test_facts_are_cited_by_their_headings_alone() -> None:
    """A mention of the document without one would not be tested."""
    for folder in ("proxy", "tests", "deploy"):
        for path in set(ROOT.glob(f"{folder}/**/*.py")) - {Path(__file__)}:
            text = path.read_text(encoding="utf-8")
            assert text.count("docs/cloudreve.md") == len(CITATION.findall(text)), path


def test_every_file_that_is_named_is_there() -> None:
    """`config/local.toml` is the reader's own, and so are the secrets beside it."""
    paths = set(PATH.findall(EVERYTHING)) - {"config/local.toml", "config/secrets"}
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(("command", "rest"), sorted(set(COMMAND.findall(EVERYTHING))))
def test_every_command_and_flag_that_is_named_is_known(command: str, rest: str) -> None:
    shown = CliRunner().invoke(cli._cli, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})  # noqa: SLF001
    assert shown.exit_code == 0
    assert set(re.findall(r"--[a-z-]+", rest)) <= set(re.findall(r"--[a-z-]+", shown.output))


def test_every_variable_that_is_named_counts() -> None:
    known = {f"THUMB_PROXY_{key.replace('.', '__').upper()}" for key in KEYS} | {
        "THUMB_PROXY_CONFIG",
        "THUMB_PROXY_SECRETS_DIR",
    }
    assert set(re.findall(r"THUMB_PROXY_\w+[A-Z]", EVERYTHING)) <= known


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", EVERYTHING, re.DOTALL))
def test_every_piece_of_configuration_is_one(block: str, tmp_path: Path) -> None:
    """It is accepted as it stands, but for the secret's file."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    tables = tomllib.loads(re.sub(r'(?<=secret_file = )"[^"]*"', f'"{secret}"', block))
    Settings.model_validate({"cloudreve": {"url": "http://127.0.0.1:5212"}} | tables)
