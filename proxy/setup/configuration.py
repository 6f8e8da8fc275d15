"""The configuration of a command, or the end of the command with everything that is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from proxy.settings import Settings

BAD_CONFIGURATION = 2
"""Exit code: the configuration or the command line cannot be used."""


def load_or_exit(config: Path | None, overrides: dict[str, object]) -> Settings:
    """Return the settings, or end the command with everything that is wrong with them."""
    from proxy.settings.sources import ConfigError, load  # noqa: PLC0415 - see the module's docstring

    try:
        return load(config, overrides, lambda text: typer.echo(f"thumb-proxy: {text}", err=True))
    except ConfigError as error:
        _complain(error.problems)
        raise typer.Exit(BAD_CONFIGURATION) from None


def refuse_misnamed_variables() -> None:
    """End the command when somebody has configured something, but by no name of a setting."""
    from proxy.settings.sources import misnamed_variables  # noqa: PLC0415 - see the module's docstring

    if problems := misnamed_variables():
        _complain(problems)
        raise typer.Exit(BAD_CONFIGURATION)


def _complain(problems: Sequence[str]) -> None:
    heading = "there is a problem" if len(problems) == 1 else f"there are {len(problems)} problems"
    typer.secho(f"thumb-proxy: {heading} in the configuration.", err=True, bold=True)
    for problem in problems:
        typer.echo(f"\n{problem}", err=True)
