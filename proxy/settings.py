"""The configuration: one frozen section per noun, checked once at the start. `config/default.toml` documents every key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """A table of the file; a key that nobody reads is an error, not a comment."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(Section):
    """Where visitors are answered."""

    host: str = "0.0.0.0"  # noqa: S104 - a gateway is there to be reached; deploy/ puts it behind a load balancer
    port: Port = 8080
    deadline_s: Seconds = 30.0
    max_uri_bytes: Bytes = 4096
    max_header_bytes: Bytes = 16384
    shutdown_s: Seconds = 30.0


class AdminSettings(Section):
    """Where metrics and health are shown."""

    host: str = "127.0.0.1"
    port: Port = 9090


class CloudreveSettings(Section):
    """The site behind the gateway."""

    url: str
    public_origins: tuple[str, ...] = ()
    image_hosts: tuple[str, ...] = ()
    secret_key: SecretStr | None = None
    connect_timeout_s: Seconds = 3.0
    whoami_timeout_s: Seconds = 10.0
    resolve_timeout_s: Seconds = 300.0
    fetch_timeout_s: Seconds = 30.0
    max_resolves: Count = 8
    max_fetches: Count = 32
    max_waiting: Count = 1000


class IdentitySettings(Section):
    """How long a verified token is believed."""

    ttl_s: Seconds = 300.0


class GrantSettings(Section):
    """How long Cloudreve's leave is kept."""

    margin_s: Annotated[float, Field(ge=0)] = 10.0
    max_ttl_s: Seconds = 3600.0
    default_ttl_s: Seconds = 60.0


class RefusalSettings(Section):
    """How long Cloudreve's no is kept, per kind; 0 keeps none."""

    not_found_s: Annotated[float, Field(ge=0, le=60)] = 5.0
    denied_s: Annotated[float, Field(ge=0, le=60)] = 2.0


class PictureSettings(Section):
    """What a picture may weigh and how long its bytes are kept."""

    max_bytes: Bytes = 10 * 1024 * 1024
    ttl_s: Seconds = 86400.0


class MemorySettings(Section):
    """The first tier."""

    max_bytes: Bytes = 256 * 1024 * 1024


class RedisSettings(Section):
    """The second tier, shared by replicas; none without a URL."""

    url: SecretStr | None = None
    namespace: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")] = "thumb-proxy"
    timeout_s: Seconds = 0.25
    pause_s: Seconds = 1.0
    max_connections: Count = 32


class LogSettings(Section):
    """What is written to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
