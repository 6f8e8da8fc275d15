"""The command `thumb-proxy`. Each command imports its modules when it runs, so that `--help` comes at once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.setup import commands
from proxy.setup.configuration import BAD_CONFIGURATION, load_or_exit, refuse_misnamed_variables
from proxy.version import full_version
from proxy.warm.options import Account, AtATime, Folder, Recursive

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from proxy.settings import LogSettings

__all__ = ["BAD_CONFIGURATION", "PROBLEMS", "main"]

PROBLEMS = 1
"""Exit code: a check found problems, or serving ended by an error."""

_STDERR = 2

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="TOML file with the settings; `thumb-proxy settings` shows all of them."
    ),
]
CloudreveUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Where the gateway reaches Cloudreve, such as http://127.0.0.1:5212."),
]

_cli = typer.Typer(
    name="thumb-proxy",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_cli.command()(commands.init)
_cli.command()(commands.install)


def main() -> None:
    """Run the command line; the entry point of `thumb-proxy`."""
    _occupy_standard_streams()
    _cli()


def _occupy_standard_streams() -> None:
    """Open what the process was started without: a socket must not get such a number (libuv aborts on closing it)."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"thumb-proxy {full_version()}")
        raise typer.Exit


@_cli.callback(epilog="Exit codes: 0 all is well, 1 problems were found, 2 the configuration cannot be used.")
def _thumb_proxy(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Cache the thumbnails of a Cloudreve v4 site, so that pages show them at once.

    Settings come from flags, then the environment (THUMB_PROXY_SECTION__KEY), then the file, then the defaults.
    """


@_cli.command()
def serve(
    config: Config = None,
    host: Annotated[str | None, typer.Option(metavar="HOST", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(metavar="PORT", help="Port to listen on; 0 takes a free one.")] = None,
    cloudreve_url: CloudreveUrl = None,
) -> None:
    """Answer GET /thumb?uri=... for one Cloudreve, until SIGTERM or Ctrl-C; SIGHUP takes a changed configuration."""
    overrides: dict[str, object] = {"server.host": host, "server.port": port, "cloudreve.url": cloudreve_url}
    settings = load_or_exit(config, overrides)
    from proxy.settings.sources import load  # noqa: PLC0415 - see the module's docstring
    from proxy.workers import single, supervisor  # noqa: PLC0415
    from proxy.workers.reload import Reload  # noqa: PLC0415

    serving = single.serve if settings.server.workers == 1 else supervisor.serve
    _run(lambda: serving(settings, Reload(lambda: load(config, overrides), settings)), settings.log)


@_cli.command()
def demo(
    host: Annotated[
        str, typer.Option(metavar="HOST", envvar="THUMB_PROXY_SERVER__HOST", help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT",
            envvar="THUMB_PROXY_SERVER__PORT",
            min=0,
            max=65535,
            help="Port to listen on; 0 takes a free one.",
        ),
    ] = 8080,
    admin_port: Annotated[
        int,
        typer.Option(
            metavar="PORT", envvar="THUMB_PROXY_ADMIN__PORT", min=0, max=65535, help="Port of the metrics; likewise."
        ),
    ] = 0,
) -> None:
    """Show the gateway at work on a page of pictures, with a stand-in for Cloudreve; needs no configuration."""
    refuse_misnamed_variables()
    from proxy.demo.demo import Addresses, run_demo  # noqa: PLC0415
    from proxy.settings import LogSettings  # noqa: PLC0415
    from proxy.wiring.process import running  # noqa: PLC0415 - see the module's docstring

    quiet = LogSettings(level="error", format="console")
    addresses = Addresses(host, port, admin_port)
    _run(lambda: run_demo(addresses, lambda settings, routes: running(settings, routes=routes)), quiet)


@_cli.command()
def check(
    config: Config = None,
    cloudreve_url: CloudreveUrl = None,
    uri: Annotated[
        str | None,
        typer.Option(metavar="URI", help="The link of a share, or a File URI, to try the whole way of a thumbnail."),
    ] = None,
) -> None:
    """Look for problems: Cloudreve, accounts, sign-in, image URLs, the proxy in front, disk, Redis.

    Exits with 0 only when all is well; advice alone changes nothing about that.
    """
    settings = load_or_exit(config, {"cloudreve.url": cloudreve_url})
    from rich.console import Console  # noqa: PLC0415 - see the module's docstring

    from proxy.doctor import examination, finding  # noqa: PLC0415

    findings = asyncio.run(examination.examine(settings, uri))
    finding.show(findings, Console())
    raise typer.Exit(PROBLEMS if finding.has_problems(findings) else 0)


@_cli.command()
def settings() -> None:
    """Print a configuration file with every setting, its default and what it does."""
    from proxy.setup.shipped import shipped  # noqa: PLC0415 - see the module's docstring

    typer.echo(shipped("default.toml"), nl=False)


@_cli.command()
def warm(
    uri: Folder,
    config: Config = None,
    cloudreve_url: CloudreveUrl = None,
    recursive: Recursive = False,
    account: Account = None,
    at_a_time: AtATime = 2,
) -> None:
    """Have Cloudreve make the thumbnails of a folder, and keep them where the gateway finds them.

    Exits with 0 when all are kept, 1 when some failed. Begun again it goes on: what is kept costs nothing.
    """
    settings = load_or_exit(config, {"cloudreve.url": cloudreve_url})
    from proxy.warm.command import Wanted, run  # noqa: PLC0415 - see the module's docstring
    from proxy.wiring.process import warming  # noqa: PLC0415

    raise typer.Exit(run(settings.log, warming(settings), Wanted(uri, account, recursive, at_a_time)))


@_cli.command()
def purge(
    uri: Annotated[str | None, typer.Argument(metavar="[URI]", help="A file, with its owner's or share's id.")] = None,
    prefix: Annotated[str | None, typer.Option(metavar="URI", help="A folder and all that is in it.")] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="A user's files and grants.")] = None,
    share: Annotated[str | None, typer.Option(metavar="ID", help="All that is in a share.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    config: Config = None,
) -> None:
    """End what visitors were granted, at every process and in every tier, and drop what was kept of it.

    Asks the gateway that runs with this configuration, on its admin port. Exits with 0 when all processes were told.
    """
    settings = load_or_exit(config, {})
    from proxy.setup.purge_order import give  # noqa: PLC0415 - see the module's docstring

    order = {"uri": uri, "prefix": prefix, "user": user, "share": share, "all": everything or None}
    is_done, answer = give(settings.admin, {name: value for name, value in order.items() if value is not None})
    typer.echo(answer, err=not is_done)
    raise typer.Exit(0 if is_done else PROBLEMS)


def _run(serving: Callable[[], Coroutine[Any, Any, None]], settings: LogSettings) -> None:
    """Serve, with a log, until it ends; what goes wrong is told in a line and in the log, never by a traceback."""
    import structlog  # noqa: PLC0415 - see the module's docstring
    import uvloop  # noqa: PLC0415

    from proxy.observe.log import configure, on_loop_exception  # noqa: PLC0415
    from proxy.wiring.servers import way_out  # noqa: PLC0415

    async def logged() -> None:
        asyncio.get_running_loop().set_exception_handler(on_loop_exception)
        await serving()

    writer = configure(settings)
    try:
        uvloop.run(logged())
    except OSError as error:  # an address that is taken or not ours; the text names it and nothing else
        writer.close()  # what has been logged comes first
        typer.secho(f"thumb-proxy: cannot serve: {error.strerror or type(error).__name__}{way_out(error)}", err=True)
        raise typer.Exit(PROBLEMS) from None
    except Exception:  # noqa: BLE001 - the last resort: told in the log, where it cannot show a secret
        structlog.get_logger("proxy.cli").exception("serving ended by an error")
        raise typer.Exit(PROBLEMS) from None
    finally:
        writer.close()
