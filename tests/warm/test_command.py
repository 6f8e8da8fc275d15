"""Folders that are warmed: everything in them is at hand afterwards, and costs Cloudreve nothing again."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from proxy.standin import faults
from proxy.standin.library import PASSWORD
from proxy.standin.standin import StandIn
from proxy.upstream import cloudreve as upstream
from proxy.warm import warmer
from proxy.warm.command import DONE, FAILED, UNUSABLE, Wanted, warm_folder
from proxy.wiring.process import warming
from tests.harness.gateways import gateway_of, settings_for, until

PAGE = 2


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page hold two files, and nobody wait before another attempt."""
    monkeypatch.setattr(upstream, "PAGE_SIZE", PAGE)
    monkeypatch.setattr(warmer, "PAUSES_S", (0.0, 0.0, 0.0))


class Site:
    """A stand-in with an album in folders, and a gateway's settings with a disk tier."""

    def __init__(self, cloudreve: StandIn, folder: Path) -> None:
        self.cloudreve = cloudreve
        self.sections: dict[str, Any] = {"disk": {"path": str(folder / "cache")}}
        library = cloudreve.library
        for name in ("日落 (2).png", "deep/one.png", "deep/deeper/two.png"):
            library.put(library.alice, f"/album/{name}")
        library.put(library.alice, "/album/readme.txt", picture=False)
        self.uri = f"cloudreve://{library.share.id}@share"
        self.names = ["one.png", "two.png", "three.png", "日落 (2).png"]
        self.deep = ["deep/one.png", "deep/deeper/two.png"]

    async def warm(
        self, uri: str = "", account: str | None = None, *, is_recursive: bool = False, **sections: object
    ) -> tuple[int, str]:
        """Run the command; give its exit code and what it has said."""
        told = StringIO()
        settings = settings_for(self.cloudreve.own_url, **{**self.sections, **sections})
        wanted = Wanted(uri or self.uri, account, is_recursive, 3)
        code = await warm_folder(warming(settings), wanted, Console(file=told, width=200))
        return code, told.getvalue()

    def loads(self) -> tuple[int, int]:
        """Count resolves and fetches since this was last asked."""
        counted = self.cloudreve.calls.count("resolve"), self.cloudreve.calls.count("fetch")
        self.cloudreve.calls.forget()
        return counted


@pytest.fixture
def site(cloudreve: StandIn, tmp_path: Path) -> Site:
    return Site(cloudreve, tmp_path)


async def test_visitors_of_a_warm_folder_cost_cloudreve_nothing(site: Site) -> None:
    """Every picture in it and below it is on disk, with its grant."""
    code, told = await site.warm(is_recursive=True)
    assert code == DONE, told
    assert told.startswith("6 kept, 1 without a thumbnail, 0 failed")
    site.loads()
    async with gateway_of(site.cloudreve.own_url, **site.sections) as gateway:
        replies = [await gateway.ask(f"{site.uri}/{name}", Accept="image/webp") for name in (*site.names, *site.deep)]
    assert {reply.status for reply in replies} == {200}
    assert site.loads() == (0, 0)


async def test_folders_in_it_are_left_alone_unless_asked_for(site: Site) -> None:
    """The pages of the folder itself are read to the last."""
    code, told = await site.warm()
    assert (code, told.partition(",")[0]) == (DONE, "4 kept")


async def test_the_same_command_again_costs_nothing_for_what_is_kept(site: Site) -> None:
    await site.warm()
    site.loads()
    code, _ = await site.warm()
    assert code == DONE
    assert site.loads() in ((0, 0), (1, 0)), "what has no thumbnail may be asked for again"


async def test_failed_files_are_reported_with_their_reason(site: Site) -> None:
    site.cloudreve.fail("fetch", faults.error_page(403))
    code, told = await site.warm()
    assert code == FAILED
    assert " 4 failed" in told
    assert "  4: " in told
    site.cloudreve.mend()
    code, told = await site.warm()
    assert (code, told.partition(",")[0]) == (DONE, "4 kept")


async def test_a_folder_that_may_not_be_listed_is_told(site: Site) -> None:
    code, told = await site.warm("cloudreve://my/album")
    assert code == FAILED
    assert "not all of the folder can be listed: Only a signed-in user may see this." in told


async def test_an_account_of_the_configuration_lends_its_eyes(site: Site) -> None:
    """By its address or its number; what is nobody else's is warmed."""
    publish = [{"prefix": "cloudreve://my/press", "email": "alice@example.org", "secret": PASSWORD}]
    for name in ("alice@example.org", "1"):
        code, told = await site.warm("cloudreve://my/album", name, publish=publish)
        assert (code, told.partition(",")[0]) == (DONE, "4 kept"), told


@pytest.mark.parametrize(
    ("uri", "account", "sections", "reason"),
    [
        ("", "nobody@example.org", {}, "no [[publish]] has the account"),
        ("", None, {"disk": {}}, "nothing would be kept"),
        ("https://example.com", None, {}, "does not start with cloudreve://"),
    ],
)
async def test_impossible_options_are_reported_beforehand(
    site: Site, uri: str, account: str | None, sections: dict[str, object], reason: str
) -> None:
    if "disk" in sections:
        site.sections = {}
    code, told = await site.warm(uri, account)
    assert (code, reason in told) == (UNUSABLE, True), told


async def test_a_published_folder_is_warmed_at_start(site: Site, log_entries: list[dict[str, Any]]) -> None:
    prefix = "cloudreve://my/album"
    publish = [{"prefix": prefix, "email": "alice@example.org", "secret": PASSWORD, "warm": True}]
    async with gateway_of(site.cloudreve.own_url, publish=publish, **site.sections) as gateway:
        await until(lambda: any(entry["event"] == "warmed" for entry in log_entries))
        site.loads()
        replies = [await gateway.ask(f"{prefix}/{name}") for name in (*site.names, *site.deep)]
    assert {reply.status for reply in replies} == {200}
    assert site.loads() == (0, 0)
