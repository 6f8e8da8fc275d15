"""The configuration: every section, checked once and against the others; `config/default.toml` documents every key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

from pydantic import model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from proxy.settings.account_settings import PublishSettings, WatchSettings
from proxy.settings.log_settings import LogSettings
from proxy.settings.section import Section
from proxy.settings.sections import (
    AdminSettings,
    CloudreveSettings,
    EmbedSettings,
    GrantSettings,
    IdentitySettings,
    PictureSettings,
    RefusalSettings,
    SealSettings,
    ServerSettings,
    SessionSettings,
    SignInSettings,
    TemporarySeal,
)
from proxy.settings.stores import DiskSettings, MemorySettings, RedisSettings, TemporaryDisk
from proxy.settings.trace_settings import TraceSettings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


ENV_PREFIX = "THUMB_PROXY_"
_EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to


class Settings(BaseSettings):
    """Every section, checked against one another. `sources.load` makes it; made directly it reads nothing."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        enable_decoding=False,
    )

    server: ServerSettings = ServerSettings()
    admin: AdminSettings = AdminSettings()
    cloudreve: CloudreveSettings
    identity: IdentitySettings = IdentitySettings()
    grants: GrantSettings = GrantSettings()
    refusals: RefusalSettings = RefusalSettings()
    pictures: PictureSettings = PictureSettings()
    memory: MemorySettings = MemorySettings()
    disk: DiskSettings = DiskSettings()
    redis: RedisSettings = RedisSettings()
    seal: SealSettings = SealSettings()
    session: SessionSettings = SessionSettings()
    sign_in: SignInSettings = SignInSettings()
    embed: EmbedSettings = EmbedSettings()
    watch: WatchSettings = WatchSettings()
    publish: tuple[PublishSettings, ...] = ()
    log: LogSettings = LogSettings()
    trace: TraceSettings = TraceSettings()

    @property
    def site(self) -> str:
        """Name the site by all its addresses: many are http://127.0.0.1:5212 to a gateway, and some share a Redis."""
        public = {*self.cloudreve.public_origins, *filter(None, [self.server.public_origin])}
        return " ".join((self.cloudreve.url, *sorted(public)))

    @property
    def disk_keys(self) -> tuple[str, ...]:
        """Give the keys that seal the disk: none where it would outlive them, because nobody has configured any."""
        lasts = not isinstance(self.seal, TemporarySeal) or isinstance(self.disk, TemporaryDisk)
        return tuple(key.get_secret_value() for key in self.seal.keys) if lasts else ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is handed over and nothing else: `load` merges the sources, to know where each value is from."""
        return (init_settings,)

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        same_host = self.server.host == self.admin.host or {self.server.host, self.admin.host} & _EVERY_ADDRESS
        if same_host and self.server.port == self.admin.port != 0:
            raise ValueError("server.port and admin.port must differ on one host")
        return self

    @model_validator(mode="after")
    def _sign_in_is_whole(self) -> Self:
        if (self.sign_in.client_id is None) != (self.sign_in.client_secret is None):
            raise ValueError("sign_in.client_id and sign_in.client_secret are needed together")
        if self.sign_in.client_id is not None and self.server.public_origin is None:
            raise ValueError("sign_in.client_id needs server.public_origin: Cloudreve sends visitors back to it")
        return self

    @model_validator(mode="after")
    def _redis_leaves_time(self) -> Self:
        if self.redis.timeout_s >= self.server.deadline_s:
            raise ValueError("redis.timeout_s must be below server.deadline_s: a slow Redis would use up the request")
        return self


LISTS = frozenset({"publish"})
"""Tables that may stand in a file several times, as [[publish]]."""


def _keys() -> dict[str, FieldInfo]:
    fields = ((name, info) for name, info in Settings.model_fields.items() if name not in LISTS)
    tables = {name: cast("type[Section]", info.annotation) for name, info in fields}
    return {f"{name}.{key}": info for name, table in tables.items() for key, info in table.model_fields.items()}


KEYS = _keys()
"""Every key there is, as `section.key`."""
