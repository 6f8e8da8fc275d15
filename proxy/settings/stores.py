"""The tables about where entries are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from proxy.settings.fields import Bytes, Count, Namespace, RedisUrl, Seconds
from proxy.settings.files import CacheFolder
from proxy.settings.redis_url import ACCEPTED
from proxy.settings.section import Section


class MemorySettings(Section):
    """The memory tier of one process."""

    max_bytes: Bytes = 256 * 1024 * 1024
    max_answers_bytes: Bytes = 16 * 1024 * 1024


def _given(path: object) -> object:
    """Take an empty path for none."""
    return None if path == "" else path


class DiskSettings(Section):
    """The tier on disk, shared by the processes of one machine; none without a path."""

    path: Annotated[
        CacheFolder | None,
        BeforeValidator(_given),
        Field(description='the path of a directory that nobody but its owner may write to, or "" for none'),
    ] = None
    max_bytes: Annotated[Bytes, Field(ge=16 * 1024 * 1024, description="a whole number of bytes, 16 MiB or more")] = (
        1024 * 1024 * 1024
    )


class TemporaryDisk(DiskSettings):
    """A tier that ends with the processes that share it."""


class RedisSettings(Section):
    """The tier shared by replicas; none without a URL."""

    url: Annotated[RedisUrl | None, Field(description=ACCEPTED)] = None
    namespace: Namespace = "thumb-proxy"
    timeout_s: Seconds = 0.25
    pause_s: Seconds = 1.0
    max_connections: Count = 8
