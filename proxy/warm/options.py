"""The options of `thumb-proxy warm`."""

from __future__ import annotations

from typing import Annotated

import typer

Folder = Annotated[str, typer.Argument(metavar="URI", help="The File URI of a folder, as cloudreve://ID@share.")]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="The folders in it as well.")]
Account = Annotated[
    str | None,
    typer.Option("--as", metavar="ACCOUNT", help="E-mail address or number of a [[publish]], as which to look."),
]
AtATime = Annotated[int, typer.Option("--at-a-time", metavar="N", min=1, max=64, help="Pictures at a time.")]
