"""The shape of the code: imports point down only, policy is pure, modules stay small and have a noun for a name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PROXY = Path(__file__).parent.parent / "proxy"
MODULES = sorted(PROXY.rglob("*.py"))

FLOORS = (
    {"cli"},
    {"demo", "doctor"},
    {"workers"},
    {"worker"},
    {"app"},
    {"parts"},
    {"web"},
    {"gateway"},
    {"steps"},
    {"sharing"},
    {"cache", "upstream"},
    {"log"},
    {"settings"},
    {"deadline", "metrics", "process"},
    {"policy"},
    {"errors"},
    {"model"},
)
"""Rooms from top to bottom; each may import those on floors below it, and its own modules."""

IMPURE = {"aiohttp", "asyncio", "logging", "redis", "structlog", "threading", "time"}
ADAPTERS = {
    "aiocache": {"cache"},
    "redis": {"cache", "demo", "doctor"},
    "aiohttp": {"app", "parts", "demo", "doctor", "upstream", "web", "workers"},
}
"""Which rooms know a library; no other does."""


def room(module: Path) -> str:
    """Give the room that a file belongs to."""
    return module.relative_to(PROXY).parts[0].removesuffix(".py")


def imports(module: Path) -> Iterator[str]:
    """Give the dotted names of what a file imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.fixture(params=MODULES, ids=lambda path: str(path.relative_to(PROXY)))
def module(request: pytest.FixtureRequest) -> Path:
    """Give each module in turn."""
    return Path(request.param)


def test_imports_point_down_only(module: Path) -> None:
    """From any room to those on the floors below it."""
    floors = {name: floor for floor, names in enumerate(FLOORS) for name in names} | {"__init__": len(FLOORS)}
    known = {name.split(".")[1] for name in imports(module) if name.startswith("proxy.")} - {"__version__"}
    assert {room(module), *known} <= floors.keys(), "a room has no floor yet"
    assert not {name for name in known - {room(module)} if floors[name] <= floors[room(module)]}


def test_modules_do_not_import_in_a_circle() -> None:
    """Within a room neither, so that each can be read after those that it needs."""
    paths = {".".join(("proxy", *path.relative_to(PROXY).with_suffix("").parts)): path for path in MODULES}
    TopologicalSorter({name: _known(path) & paths.keys() - {name} for name, path in paths.items()}).prepare()


def _known(path: Path) -> set[str]:
    """Give what a file imports, each name with the module that may hold it."""
    return {name for imported in imports(path) for name in (imported, imported.rpartition(".")[0])}


def test_libraries_are_known_in_their_rooms_only(module: Path) -> None:
    """Policy decides, adapters act: policy knows no I/O and no clock, the gateway neither aiohttp nor Redis."""
    libraries = {name.split(".")[0] for name in imports(module)}
    assert not {name for name, rooms in ADAPTERS.items() if name in libraries and room(module) not in rooms}
    assert room(module) != "policy" or not libraries & IMPURE


def test_modules_are_small_and_named_by_what_they_hold(module: Path) -> None:
    """A module that outgrows this holds two nouns; one without a noun holds anything."""
    assert len(module.read_text(encoding="utf-8").splitlines()) < 250
    assert module.stem not in {"utils", "util", "helpers", "common", "base", "misc"}
