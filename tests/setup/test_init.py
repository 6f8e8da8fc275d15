"""`thumb-proxy init`: what is asked, what is tried, and what is written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from proxy import cli
from proxy.settings.sources import load
from proxy.standin.library import PASSWORD
from proxy.standin.standin import StandIn
from tests.conftest import StartRedis
from tests.harness.redis_server import free_port

PUBLIC = "https://cloud.invalid"


@pytest.fixture
async def cloudreve() -> AsyncIterator[StandIn]:
    """Run a stand-in site with small pictures."""
    async with StandIn(size=(40, 30)) as standin:
        standin.site_url = PUBLIC
        yield standin


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config" / "local.toml"


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def spoil(path: Path) -> None:
    path.write_text("mine", encoding="utf-8")


async def init(config: Path, *flags: str, answers: str | None = None) -> Result:
    command = ["init", "--config", str(config), *flags, *(() if answers is not None else ("--no-input",))]
    return await asyncio.to_thread(CliRunner().invoke, cli._cli, command, answers)  # noqa: SLF001 - what main() runs


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)


async def test_a_person_is_asked_and_each_answer_is_tried_at_once(cloudreve: StandIn, config: Path) -> None:
    """An answer that cannot be used is asked again; secrets go into files of their own."""
    answers = "\n".join(
        (
            f"http://127.0.0.1:{free_port()}",
            "n",  # take it all the same?
            f"{cloudreve.own_url}/",
            "cloud.invalid",
            "n",
            PUBLIC,
            "y",
            "",  # no Redis
            str(config.parent.parent / "cache"),
            "cloudreve://my/album",
            "alice@example.org",
            "S3CRET",
            "n",
            "cloudreve://my/album",
            "alice@example.org",
            PASSWORD,
            "",
        )
    )
    result = await init(config, answers=answers + "\n")
    assert result.exit_code == 0, result.output
    told = plain(result.output)
    for words in ("connection refused", "http:// or https://", "does not accept its e-mail", "its folder is there"):
        assert words in told
    settings = load(config)
    assert settings.cloudreve.url == cloudreve.own_url
    assert settings.cloudreve.public_origins == (PUBLIC,)
    assert settings.server.public_origin == PUBLIC
    assert settings.server.passthrough
    assert settings.session.path == "/api/session"
    assert settings.disk.path == config.parent.parent / "cache"
    assert [(entry.prefix, entry.secret_text) for entry in settings.publish] == [("cloudreve://my/album", PASSWORD)]
    assert len(settings.seal.keys) == 1


async def test_flags_answer_without_a_person(cloudreve: StandIn, config: Path, start_redis: StartRedis) -> None:
    """The shortest configuration has two tables; no secret is in it, and nobody else may read the secrets."""
    redis = start_redis(requirepass="S3CRET")
    password = config.parent.parent / "password"
    password.write_text(f"{PASSWORD}\n")
    flags = ("--cloudreve-url", cloudreve.own_url, "--public-origin", PUBLIC, "--thumbnails-only")
    published = ("--publish", "cloudreve://my/album", "--publish-email", "alice@example.org")
    url = f"redis://:S3CRET@127.0.0.1:{redis.port}"
    result = await init(config, *flags, "--redis-url", url, *published, "--publish-secret-file", str(password))
    assert result.exit_code == 0, result.output
    text = read(config)
    assert re.findall(r"^\[+\w+", text, re.MULTILINE) == ["[cloudreve", "[server", "[[publish"]
    assert "S3CRET" not in text + result.output
    assert PASSWORD not in text + result.output
    written = sorted((config.parent / "secrets").iterdir())
    assert [path.name for path in written] == ["publish-1", "redis__url", "seal__keys"]
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    assert (config.parent / "secrets").stat().st_mode & 0o777 == 0o700
    redis_url = load(config).redis.url
    assert redis_url is not None
    assert redis_url.get_secret_value() == url


async def test_the_link_of_a_share_is_tried_at_the_end(cloudreve: StandIn, config: Path) -> None:
    link = f"{PUBLIC}/s/{cloudreve.library.share.id}"
    result = await init(config, "--cloudreve-url", cloudreve.own_url, "--public-origin", PUBLIC, "--uri", link)
    assert "image/png" in result.output
    assert "site URL" in result.output


async def test_a_gateway_that_does_not_run_yet_is_no_problem(cloudreve: StandIn, config: Path) -> None:
    result = await init(config, "--cloudreve-url", cloudreve.own_url, "--public-origin", cloudreve.own_url)
    assert "does not send /thumb and /session to the gateway, but elsewhere. So it is until" in plain(result.output)
    assert not re.search("^problem +reverse proxy", result.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--cloudreve-url", "http://127.0.0.1:1"), "connection refused"),
        (("--cloudreve-url", "cloud.example.com"), "http:// or https://"),
        (("--public-origin", "cloud.example.com"), "http:// or https://"),
        (("--redis-url", "redis://127.0.0.1:1"), "connection refused"),
        (("--redis-url", "http://127.0.0.1:1"), "does not start with redis://"),
        (("--disk", "/proc/nowhere/cache"), "directory above it is not there"),
        (("--publish", "/public"), "cloudreve://"),
        (("--publish", "cloudreve://my/album", "--publish-email", "alice@example.org"), "is empty"),
    ],
)
async def test_a_configuration_that_cannot_be_used_is_not_written(
    flags: tuple[str, ...], told: str, cloudreve: StandIn, config: Path
) -> None:
    given = flags if "--cloudreve-url" in flags else ("--cloudreve-url", cloudreve.own_url, *flags)
    result = await init(config, *given)
    assert result.exit_code == 1
    assert told in plain(result.output)
    assert not config.parent.exists()


async def test_a_file_that_is_there_is_replaced_on_demand_only_and_its_key_is_kept(
    cloudreve: StandIn, config: Path
) -> None:
    """A new key would end all sessions."""
    flags = ("--cloudreve-url", cloudreve.own_url)
    assert (await init(config, *flags)).exit_code == 0
    key = read(config.parent / "secrets" / "seal__keys")
    spoil(config)
    result = await init(config, *flags)
    assert result.exit_code == cli.BAD_CONFIGURATION
    assert "--force" in result.stderr
    assert read(config) == "mine"
    assert (await init(config, *flags, answers="n\n")).exit_code == cli.BAD_CONFIGURATION
    assert (await init(config, *flags, "--force")).exit_code == 0
    assert load(config).cloudreve.url == cloudreve.own_url
    assert read(config.parent / "secrets" / "seal__keys") == key
