"""The tables of the configuration: one frozen section per noun. `config/default.toml` documents every key."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from proxy.domain.variant import Format
from proxy.settings.fields import (
    AnyOrigin,
    Bytes,
    ClientId,
    CookieName,
    Count,
    Host,
    HostList,
    MinuteAtMost,
    NetworkList,
    Origin,
    OriginList,
    Port,
    PublicAddress,
    Scopes,
    SealKeys,
    Seconds,
    SecondsOrZero,
    Secret,
    SessionPath,
    Switch,
    Workers,
)
from proxy.settings.files import CaFile, PictureFile, StateFile
from proxy.settings.picture_fields import AvifSpeed, EncoderMemory, Formats, Quality, Sizes, WebpEffort
from proxy.settings.section import Section


class ServerSettings(Section):
    """Where visitors are answered."""

    host: Host = "0.0.0.0"  # noqa: S104 - a gateway is there to be reached; deploy/ puts it behind a load balancer
    port: Port = 8080
    workers: Workers = 1
    deadline_s: Seconds = 30.0
    max_uri_bytes: Bytes = 4096
    max_header_bytes: Bytes = 16384
    header_timeout_s: Seconds = 15.0
    send_timeout_s: Seconds = 60.0
    max_connections: Count = 10_000
    drain_s: SecondsOrZero = 3.0
    shutdown_s: Seconds = 30.0
    fast_path: Switch = True
    passthrough: Switch = False
    trusted_proxies: NetworkList = ("127.0.0.0/8", "::1/128")
    public_origin: Annotated[
        PublicAddress | None,
        Field(description="an address as http://host:port or https://host, with a path where a proxy strips one"),
    ] = None

    @model_validator(mode="after")
    def _uri_fits(self) -> Self:
        if self.max_uri_bytes > self.max_header_bytes:
            raise ValueError("server.max_uri_bytes must not be above server.max_header_bytes: the URI is in the header")
        return self


class AdminSettings(Section):
    """Where metrics and health are shown, and orders are taken."""

    host: Host = "127.0.0.1"
    port: Port = 9090
    token: Annotated[Secret | None, Field(description="a text that orders have to bring, such as POST /purge")] = None


class CloudreveSettings(Section):
    """The site behind the gateway."""

    url: Origin
    public_origins: OriginList = ()
    image_hosts: HostList = ()
    secret_key: Annotated[Secret | None, Field(description="the site's secret key as text")] = None
    ca_file: Annotated[CaFile | None, Field(description="the path of a file of certificates in PEM")] = None
    connect_timeout_s: Seconds = 3.0
    whoami_timeout_s: Seconds = 10.0
    resolve_timeout_s: Seconds = 600.0
    fetch_timeout_s: Seconds = 30.0
    probe_s: Seconds = 1.0
    max_resolves: Count = 8
    max_fetches: Count = 32
    max_waiting: Count = 1000


class IdentitySettings(Section):
    """How long a verified token is believed."""

    ttl_s: Seconds = 300.0


class GrantSettings(Section):
    """How long grants are kept: Cloudreve's permission for one identity to see one file."""

    margin_s: SecondsOrZero = 10.0
    max_ttl_s: Seconds = 3600.0
    default_ttl_s: Seconds = 60.0
    renew_s: SecondsOrZero = 60.0
    browser_s: SecondsOrZero = 60.0
    stale_if_error_s: SecondsOrZero = 0.0

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.margin_s >= self.max_ttl_s:
            raise ValueError("grants.margin_s must be below grants.max_ttl_s: no grant would be kept")
        return self


class RefusalSettings(Section):
    """How long refusals are kept, per kind; 0 keeps none."""

    not_found_s: MinuteAtMost = 5.0
    denied_s: MinuteAtMost = 2.0


class PictureSettings(Section):
    """How large a picture may be, how long its bytes are kept, and which variants are made of it."""

    max_bytes: Bytes = 10 * 1024 * 1024
    max_pixels: Count = 50_000_000
    ttl_s: Seconds = 86400.0
    recheck_s: SecondsOrZero = 60.0
    stale_if_error_s: SecondsOrZero = 3600.0
    formats: Formats = (Format.WEBP,)
    sizes: Sizes = (100, 200, 300, 400, 600, 800, 1200, 1600)
    webp_quality: Quality = 76
    webp_effort: WebpEffort = 2
    avif_quality: Quality = 62
    avif_speed: AvifSpeed = 8
    encoders: Count = 1
    encoder_memory_bytes: EncoderMemory = 1024 * 1024 * 1024
    encode_wait_s: Seconds = 1.0
    encode_timeout_s: Seconds = 5.0
    info_wait_s: Seconds = 0.2


class SealSettings(Section):
    """The keys of sealed URLs and cookies; without any, each process takes a random one."""

    keys: SealKeys = ()


class TemporarySeal(SealSettings):
    """Keys that nobody has configured: they end with the process that made them."""


class SessionSettings(Section):
    """The cookie that stands for an access token."""

    path: SessionPath = "/session"
    cookie: CookieName = "thumb_session"
    origins: OriginList = ()
    state_path: Annotated[
        StateFile | None, Field(description="the path of a file, to be written in a directory that is there")
    ] = None


class SignInSettings(Section):
    """The OAuth client as which visitors are sent to Cloudreve's consent page; none without its id."""

    client_id: Annotated[ClientId | None, Field(description="the client id that Cloudreve's settings show")] = None
    client_secret: Annotated[Secret | None, Field(description="the secret of the same OAuth client")] = None
    scopes: Scopes = "openid offline_access Files.Read"


class EmbedSettings(Section):
    """Which pages of other sites may show pictures, and what is shown in place of an error."""

    private_origins: OriginList = ()
    public_origins: AnyOrigin = ("*",)
    fallback: Annotated[
        PictureFile | None,
        Field(description="the path of a picture (PNG, JPEG, GIF, WebP ...) of 1 MiB at most"),
    ] = None
