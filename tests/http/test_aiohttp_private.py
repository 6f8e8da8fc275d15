"""Private names of aiohttp: a version in which one is gone, or means something else, is noticed before it harms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web, web_protocol
from aiohttp.web_protocol import RequestHandler

from proxy.http import aiohttp_private, aiohttp_trial
from proxy.observe import prometheus_private

SOURCE = Path(aiohttp_private.__file__).read_text(encoding="utf-8")
WITHOUT = """
import asyncio
from aiohttp import web_protocol
del web_protocol.RequestHandler._waiter, web_protocol._ErrInfo
from proxy.http import aiohttp_trial, connection, server
from proxy.fastpath import protocol
print(asyncio.run(aiohttp_trial.fault()))
"""


def owner_of(name: str) -> type:
    """Name the class that a connection has a private name from."""
    return next(each for each in RequestHandler.__mro__ if name in vars(each))


def used() -> set[str]:
    """List the private names that the module names."""
    attributes = {node.attr for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Attribute)}
    texts = {node.value for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Constant)}
    named = attributes | {text for text in texts if isinstance(text, str)}
    return {name for name in named if name.startswith("_") and name.isidentifier() and not name.startswith("__")}


async def test_this_version_has_all_names_and_they_behave() -> None:
    """Of aiohttp and of prometheus-client."""
    assert (await aiohttp_trial.fault(), prometheus_private.fault()) == (None, None)


@pytest.mark.parametrize("name", [name for name in sorted(used()) if hasattr(RequestHandler, name)])
async def test_a_name_of_connections_that_is_gone_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(owner_of(name), name)
    assert f"has no RequestHandler.{name}" in str(await aiohttp_trial.fault())


@pytest.mark.parametrize(("owner", "name"), aiohttp_private.OF_CLASSES, ids=str)
def test_a_name_of_other_classes_that_is_gone_is_noticed(
    owner: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for holder in [each for each in getattr(owner, "__mro__", (owner,)) if name in vars(each)]:
        monkeypatch.delattr(holder, name)
    assert any(told.endswith(f".{name}") for told in aiohttp_private.missing())


@pytest.mark.parametrize(
    ("owner", "name", "told"),
    [
        (aiohttp_private.PrivateConnection, "hold", "hold"),
        (RequestHandler, "connection_made", "TimeoutError"),
        (RequestHandler, "data_received", "TimeoutError"),
    ],
)
async def test_a_name_that_means_something_else_is_noticed(
    owner: type, name: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp_trial, "TRIED_S", 0.05)
    monkeypatch.setattr(owner, name, lambda *_: None)
    assert str(await aiohttp_trial.fault()).endswith(f"behaves otherwise than expected: {told}")


def test_modules_load_without_the_names() -> None:
    """So that the gateway can start, and say why its fast path is off."""
    told = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True).stdout  # noqa: S603
    assert "has no aiohttp.web_protocol._ErrInfo, RequestHandler._waiter" in told


def test_the_names_that_are_checked_are_those_that_are_used() -> None:
    """No more and no less: a name that is used unchecked breaks a request."""
    of_instances = {"_kwargs", "_headers_buf"}  # tried out: no class has them
    checked = {name for _, name in aiohttp_private.OF_CLASSES} | {*aiohttp_private.OF_CONNECTIONS}
    own = {node.name for node in ast.parse(SOURCE).body if isinstance(node, ast.FunctionDef)}
    assert used() - own == checked | of_instances


def test_private_names_are_what_the_test_takes_them_for() -> None:
    """Names of connections, which aiohttp's classes have."""
    assert all(hasattr(RequestHandler, name) for name in aiohttp_private.OF_CONNECTIONS)
    assert {owner for owner, _ in aiohttp_private.OF_CLASSES} >= {web.AppRunner, web_protocol}
