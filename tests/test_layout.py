"""The shape of the code: imports point down only, rules are pure, modules stay small and have a noun for a name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from proxy.domain.request_fields import SENT_AS_RECEIVED

PROXY = Path(__file__).parent.parent / "proxy"
MODULES = sorted(PROXY.rglob("*.py"))

FLOORS = (
    {"__main__"},
    {"cli"},
    {"setup"},
    {"demo", "doctor"},
    {"workers"},
    {"wiring"},
    {"admin"},
    {"fastpath", "http", "passthrough", "sessions"},
    {"warm"},
    {"gateway", "sealed"},
    {"live_events"},
    {"grants", "identity", "pictures"},
    {"cache", "coalesce"},
    {"redis"},
    {"standin", "upstream"},
    {"observe"},
    {"settings"},
    {"background_tasks", "version"},
    {"domain"},
)
"""Rooms from top to bottom; each may import those on its own floor and below, and no module imports in a circle."""

IMPURE = {"aiohttp", "asyncio", "logging", "redis", "structlog", "threading", "time"}
PURE = {
    *("admin/history", "admin/status"),
    *("grants/changing_requests", "http/api_envelope", "http/embedding_rule", "http/forwarded"),
    *("http/framing", "http/page_texts", "sealed/sealed_grant", "http/thumb_request", "http/variant_rules"),
    *("identity/claims", "identity/published", "live_events/burst", "live_events/watched_folder"),
    "passthrough/hop_by_hop",
    *(f"pictures/proof/{name}" for name in ("bitmap", "body", "gif", "heif", "jpeg", "png", "proof", "webp")),
    "passthrough/route_patterns",
    *("sessions/authorization", "sessions/cookie_syntax", "sessions/pkce", "sessions/session"),
    "settings/redis_url",
    *(f"upstream/{name}" for name in ("answers", "deobfuscate", "json_answer", "server_sent_events", "token_answers")),
}
"""Modules without I/O and without a clock, beside all of `domain`."""
ADAPTERS = {
    "aiocache": {"cache"},
    "redis": {"cache", "demo", "doctor", "redis"},
    "aiohttp": {
        *(
            "admin",
            "demo",
            "doctor",
            "fastpath",
            "http",
            "passthrough",
            "sessions",
            "setup",
            "standin",
            "upstream",
            "wiring",
            "workers",
        ),
    },
}
"""Which rooms know a library; no other does."""


def room(module: Path) -> str:
    """Give the room that a file belongs to."""
    return module.relative_to(PROXY).parts[0].removesuffix(".py")


def named(module: Path) -> str:
    """Give the path that the sets above name a file by."""
    return str(module.relative_to(PROXY).with_suffix(""))


@cache
def imports(module: Path) -> list[str]:
    """Give the dotted names of what a file imports, wherever in it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"imports are absolute: {named(module)}"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def libraries(module: Path) -> set[str]:
    """Give the packages that a file imports from."""
    return {name.partition(".")[0] for name in imports(module)}


def test_imports_point_down_only() -> None:
    """From any room to those on its own floor and on the floors below it."""
    floors = {name: floor for floor, names in enumerate(FLOORS) for name in names} | {"__init__": len(FLOORS)}
    steps = {(path, name.split(".")[1]) for path in MODULES for name in imports(path) if name.startswith("proxy.")} - {
        (path, "__version__") for path in MODULES
    }
    assert {*map(room, MODULES), *(other for _, other in steps)} <= floors.keys(), "a room has no floor yet"
    assert [(named(path), other) for path, other in steps if floors[other] < floors[room(path)]] == []


def test_the_architecture_lists_rooms_from_top_to_bottom() -> None:
    text = (PROXY.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `proxy/(\w+)(?:/|\.py)` \|", text, re.MULTILINE)
    floors = [next(floor for floor, names in enumerate(FLOORS) if name in names) for name in told]
    assert floors == sorted(floors)


def test_modules_do_not_import_in_a_circle() -> None:
    """Within a room neither, so that each can be read after those that it needs."""
    paths = {".".join(("proxy", *path.relative_to(PROXY).with_suffix("").parts)): path for path in MODULES}
    TopologicalSorter({name: _known(path) & paths.keys() - {name} for name, path in paths.items()}).prepare()


def _known(path: Path) -> set[str]:
    """Give what a file imports, each name with the module that may hold it."""
    return {name for imported in imports(path) for name in (imported, imported.rpartition(".")[0])}


def test_libraries_are_known_in_their_rooms_only() -> None:
    """Rules decide, adapters act: the gateway knows neither aiohttp nor Redis."""
    known = {(library, room(path)) for path in MODULES for library in libraries(path) & ADAPTERS.keys()}
    assert {(library, name) for library, name in known if name not in ADAPTERS[library]} == set()


def test_pure_modules_know_no_input_or_output() -> None:
    pure = [path for path in MODULES if room(path) == "domain" or named(path) in PURE]
    assert {named(path): known for path in pure if (known := libraries(path) & IMPURE)} == {}


def test_every_pure_module_is_there() -> None:
    """A name that is left behind would prove nothing."""
    assert {*map(named, MODULES)} >= PURE


def test_modules_are_small_and_named_by_their_content() -> None:
    """A module that outgrows this holds two nouns; one without a noun holds anything."""
    lines = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count >= 250} == {}
    assert {path.stem for path in MODULES} & {"utils", "util", "helpers", "common", "base", "misc"} == set()


@pytest.mark.parametrize("name", SENT_AS_RECEIVED)
def test_a_field_that_is_sent_as_received_is_named_in_the_table_alone(name: str) -> None:
    """So that another one is a line of `domain/request_fields.py`."""
    sources = {path.relative_to(PROXY): path.read_text(encoding="utf-8") for path in MODULES if room(path) != "standin"}
    assert [str(path) for path, text in sources.items() if name in text] == ["domain/request_fields.py"]


def test_no_value_travels_on_a_request() -> None:
    """What a step has found out it returns; what a response tells of its end is one typed value (`http/outcome.py`)."""
    keys = {name for path in MODULES if "standin" not in path.parts for name in _keys(path)}
    assert keys == {"http/outcome.py: ResponseKey"}


def _keys(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in {"RequestKey", "ResponseKey", "AppKey"}:
            yield f"{path.relative_to(PROXY)}: {node.attr}"


def test_private_names_of_libraries_are_known_in_one_module_each() -> None:
    """In `*_private.py`, so that a new version of a library can break these alone."""
    others = [path for path in MODULES if not path.stem.endswith("_private")]
    own = {name for path in others for name in _defined(ast.parse(path.read_text(encoding="utf-8")))}
    told = {f"{path.relative_to(PROXY)}: {name}" for path in others for name in _private(path) - own}
    assert told == FOREIGN_TYPES


FOREIGN_TYPES = {"upstream/decoding.py: _Decompress", "cache/disk_file.py: _Database"}
"""Names that only annotations use."""


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.attr if isinstance(node, ast.Attribute) else node.id


def _private(path: Path) -> set[str]:
    """List the names with one underscore that a file uses or imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return {name for name in names if name.startswith("_") and not name.startswith("__")} - {"_asdict", "_replace"}
