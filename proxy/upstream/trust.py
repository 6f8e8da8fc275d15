"""Which certificates are trusted: the system's (or those of `SSL_CERT_FILE`), and those of `cloudreve.ca_file`."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def trust(ca_file: Path | None) -> ssl.SSLContext | bool:
    """Return the `ssl` argument of an aiohttp connector for Cloudreve and the hosts of its storage."""
    if ca_file is None:
        return True
    context = ssl.create_default_context()
    context.load_verify_locations(ca_file)
    context.set_alpn_protocols(("http/1.1",))
    return context
