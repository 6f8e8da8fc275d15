"""The commands `init` and `install`. They import their modules when they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.doctor.finding import Finding
    from proxy.settings import Settings
    from proxy.setup.answers import Published
    from proxy.setup.interview import Flags

_FAILED = 1
_UNUSABLE = 2


class _Terminal:
    """The person at the terminal."""

    is_there = True

    def text(self, question: str, default: str, *, hidden: bool = False) -> str:
        return str(typer.prompt(question, default=default, hide_input=hidden, show_default=bool(default))).strip()

    def yes(self, question: str, default: bool) -> bool:
        return typer.confirm(question, default=default)


class _Nobody:
    """Nobody is there: what has a default is answered by it."""

    is_there = False

    def text(self, question: str, default: str, *, hidden: bool = False) -> str:  # noqa: ARG002
        return default

    def yes(self, question: str, default: bool) -> bool:  # noqa: ARG002
        return default


def init(  # noqa: PLR0913, PLR0917 - each is a flag
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="The file to write; its secrets go beside it.")
    ] = None,
    cloudreve_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where the gateway reaches Cloudreve, such as http://127.0.0.1:5212."),
    ] = None,
    public_origin: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The address that visitors use, such as https://cloud.example.com."),
    ] = None,
    whole_site: Annotated[
        bool | None, typer.Option("--whole-site/--thumbnails-only", help="What the gateway stands in front of.")
    ] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(metavar="URL", envvar="THUMB_PROXY_REDIS__URL", help="A Redis that several machines share."),
    ] = None,
    disk: Annotated[Path | None, typer.Option(metavar="DIR", help="Where pictures outlive a restart.")] = None,
    publish: Annotated[
        str | None, typer.Option(metavar="URI", help="A folder that everybody may see, as cloudreve://my/public.")
    ] = None,
    publish_email: Annotated[str, typer.Option(metavar="EMAIL", help="Its account; none with a refresh token.")] = "",
    publish_secret_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the account's password, or a refresh token.")
    ] = None,
    uri: Annotated[str | None, typer.Option(metavar="URI", help="The link of a share, to try a picture with.")] = None,
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Ask nothing: what no flag says has its default.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Ask for what a configuration needs, try each answer, and write it."""
    from proxy.setup.interview import Flags  # noqa: PLC0415 - see the module's docstring

    path = config or _default_path()
    if path.exists() and not force and (no_input or not typer.confirm(f"{path} is there. Replace it?")):
        typer.echo(f"thumb-proxy: {path} is there already; --force replaces it, --config names another.", err=True)
        raise typer.Exit(_UNUSABLE)
    published = _published(publish, publish_email, publish_secret_file)
    _interview(Flags(cloudreve_url, public_origin, whole_site, redis_url, disk, published), path, no_input=no_input)
    _check(path, uri)
    start = "deploy/run" if config is None and _is_in_tree(path) else f"thumb-proxy serve --config {path}"
    typer.echo(f"\nTo start: {start}\nAs a service of systemd, behind nginx: thumb-proxy install --help")


def install(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", envvar="THUMB_PROXY_CONFIG", help="What `init` has written."),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="HOST", help="The site's name, for nginx; without it no site is made.")
    ] = "",
    ports: Annotated[str, typer.Option(metavar="PORTS", help="One gateway for each.")] = "8080,8081",
    certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The site's certificate chain, for https.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key.")] = None,
    root: Annotated[Path, typer.Option(metavar="DIR", help="Another machine's files, which does not run.")] = Path("/"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    undo: Annotated[bool, typer.Option("--remove", help="Undo what was done; what was there before stays.")] = False,
) -> None:
    """Install the gateway as a service of systemd, behind nginx: user, directories, unit, site."""
    from proxy.setup import service  # noqa: PLC0415 - see the module's docstring
    from proxy.setup.machine import Machine, StepFailed  # noqa: PLC0415

    machine = Machine(root, dry_run, typer.echo)
    try:
        if undo:
            service.remove(machine)
            return
        path = config or _default_path()
        plan = service.Plan(_settings(path), path, _ports(ports), name, _pair(certificate, key))
        if obstacles := list(service.obstacles(machine, plan)):
            _end("thumb-proxy: this cannot be installed.", *obstacles)
        service.install(machine, plan)
    except StepFailed as failed:
        _end(f"thumb-proxy: {failed}", "--remove undoes what has been done so far.")
    except OSError as error:
        _end(f"thumb-proxy: {error.filename} cannot be written: {error.strerror}")
    typer.echo(
        f"\nInstalled. To look for problems: {service.program()} check --config {service.CONFIGURATION}/config.toml"
    )


def _interview(flags: Flags, path: Path, *, no_input: bool) -> None:
    from proxy.setup import config_file  # noqa: PLC0415
    from proxy.setup.interview import Interview, Unanswered  # noqa: PLC0415

    try:
        answers = Interview(flags, _Nobody() if no_input else _Terminal(), _show).answers()
    except Unanswered:
        _end("thumb-proxy: nothing was written.")
    for written in config_file.write(answers, path):
        typer.echo(f"written: {written}")


def _check(path: Path, uri: str | None) -> None:
    import asyncio  # noqa: PLC0415

    from proxy.doctor import examination  # noqa: PLC0415
    from proxy.setup.trials import before_the_start  # noqa: PLC0415

    typer.echo("\nThe doctor says:")
    _show(before_the_start(asyncio.run(examination.examine(_settings(path), uri))))


def _show(findings: Sequence[Finding]) -> None:
    from rich.console import Console  # noqa: PLC0415

    from proxy.doctor.finding import show  # noqa: PLC0415

    if findings:
        show(findings, Console(), with_summary=False)


def _settings(path: Path) -> Settings:
    from proxy.settings.sources import ConfigError, load  # noqa: PLC0415

    try:
        return load(path)
    except ConfigError as error:
        _end(
            "thumb-proxy: the configuration cannot be used; `thumb-proxy init` makes one.",
            *error.problems,
            code=_UNUSABLE,
        )


def _published(prefix: str | None, email: str, secret_file: Path | None) -> Published | None:
    from proxy.setup.answers import Published  # noqa: PLC0415

    if prefix is None:
        return None
    try:
        return Published(prefix, email, secret_file.read_text(encoding="utf-8").strip() if secret_file else "")
    except OSError as error:
        _end(f"thumb-proxy: {secret_file} cannot be read: {error.strerror}", code=_UNUSABLE)


def _ports(text: str) -> tuple[int, ...]:
    try:
        ports = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        ports = ()
    if not ports or not all(0 < port < 65536 for port in ports):  # noqa: PLR2004
        _end(f"thumb-proxy: {text!r} is no list of ports; accepted is 8080,8081", code=_UNUSABLE)
    return ports


def _pair(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        _end("thumb-proxy: --certificate and --key are needed together.", code=_UNUSABLE)
    return certificate.absolute(), key.absolute()


def _default_path() -> Path:
    from proxy.setup.shipped import work_tree  # noqa: PLC0415

    tree = work_tree()
    return tree / "config" / "local.toml" if tree else Path("thumb-proxy.toml")


def _is_in_tree(path: Path) -> bool:
    from proxy.setup.shipped import work_tree  # noqa: PLC0415

    tree = work_tree()
    return tree is not None and path.is_relative_to(tree)


def _end(*lines: str, code: int = _FAILED) -> NoReturn:
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(code)
