"""The configuration, checked once. `config/default.toml` documents every key; `sources` says where values come from."""

from proxy.settings.account_settings import MAX_FOLDER_BYTES, AccountSettings, PublishSettings, WatchSettings
from proxy.settings.log_settings import LogSettings
from proxy.settings.root import ENV_PREFIX, KEYS, LISTS, Settings
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

__all__ = [
    "ENV_PREFIX",
    "KEYS",
    "LISTS",
    "MAX_FOLDER_BYTES",
    "AccountSettings",
    "AdminSettings",
    "CloudreveSettings",
    "DiskSettings",
    "EmbedSettings",
    "GrantSettings",
    "IdentitySettings",
    "LogSettings",
    "MemorySettings",
    "PictureSettings",
    "PublishSettings",
    "RedisSettings",
    "RefusalSettings",
    "SealSettings",
    "Section",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "SignInSettings",
    "TemporaryDisk",
    "TemporarySeal",
    "WatchSettings",
]
