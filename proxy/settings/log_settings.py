"""The table of the log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from proxy.settings.fields import Switch
from proxy.settings.section import Section


class LogSettings(Section):
    """The log on stderr."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description='"debug", "info", "warning" or "error"')
    ] = "info"
    format: Annotated[Literal["json", "console"], Field(description='"json" or "console"')] = "json"
    requests: Annotated[Literal["all", "errors"], Field(description='"all" or "errors"')] = "all"
    client_address: Switch = False
