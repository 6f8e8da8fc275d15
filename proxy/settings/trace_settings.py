"""The table of traces."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from proxy.settings.section import Section


class TraceSettings(Section):
    """Where traces go; nowhere without an endpoint."""

    endpoint: Annotated[
        str | None,
        Field(pattern=r"^https?://[^\s@]+$", description="an address such as http://127.0.0.1:4318/v1/traces"),
    ] = None
    sample_ratio: Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")] = 1.0
