"""Where settings come from: flags, environment, secret files, TOML file, defaults; the first that has a key decides.

Every problem of every source goes into one `ConfigError`, in words for the person who wrote the setting.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, NestedSecretsSettingsSource, SecretsSettingsSource
from pydantic_settings.exceptions import SettingsError

from proxy.settings import renamed
from proxy.settings.files import resolve_paths
from proxy.settings.problems import Given, bad_value, unknown_key, unknown_name, unknown_table
from proxy.settings.root import ENV_PREFIX, KEYS, LISTS, Settings
from proxy.settings.toml_problems import toml_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic_core import ErrorDetails

CONFIG_VARIABLE = f"{ENV_PREFIX}CONFIG"
SECRETS_VARIABLE = f"{ENV_PREFIX}SECRETS_DIR"
SECRETS_FOLDER = "secrets"
"""The directory beside the configuration file that is read where the variable names none."""
CACHE_VARIABLE = "CACHE_DIRECTORY"
"""Set by systemd for a unit with `CacheDirectory=` (systemd.exec(5)), by `deploy/run` and in the image."""
DISABLING_VARIABLE = "AIOCACHE_DISABLE"
"""With it the library aiocache, which the tiers are made of, stores and deletes nothing, and says so to nobody."""
FLAGS = {"server.host": "--host", "server.port": "--port", "cloudreve.url": "--cloudreve-url"}
"""The keys that have a flag."""

_SERVICE_LINK = re.compile(
    ENV_PREFIX + r"(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT=\w+://|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=)"
)
"""Kubernetes sets these in every container that lives beside a service named thumb-proxy."""


class ConfigError(Exception):
    """The configuration cannot be used. `problems` has a text for each thing to mend; none shows a secret."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load(
    config: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Settings:
    """Return the settings: `overrides` (by dotted key, None for a flag not given) before environment before file.

    The last source is the directory that a service manager has made for the disk tier. `warn` hears of each key that is
    taken under its name of the version before. Raises ConfigError with everything that is wrong.
    """
    sources = _Sources()
    sources.read_service_manager()
    path = config or os.environ.get(CONFIG_VARIABLE)
    if path:
        sources.read_file(Path(path))
    if directory := os.environ.get(SECRETS_VARIABLE):
        sources.read_secrets(Path(directory), SECRETS_VARIABLE)
    elif path and (beside := Path(path).with_name(SECRETS_FOLDER)).is_dir():
        sources.read_secrets(beside, f"secrets beside {path}")
    sources.read_environment()
    sources.read_flags(overrides or {})
    settings = sources.settings()
    for text in sources.renamed:
        warn(text)
    return settings


def misnamed_variables() -> list[str]:
    """Tell of each environment variable that has our prefix and names no setting."""
    known = {*map(_variable, KEYS), *map(_variable, LISTS), CONFIG_VARIABLE, SECRETS_VARIABLE}
    ours = (name for name in sorted(os.environ) if name.upper().startswith(ENV_PREFIX))
    strange = (name for name in ours if name.upper() not in known)
    meant = (name for name in strange if not _SERVICE_LINK.match(f"{name}={os.environ[name]}"))
    return [unknown_name(f"environment variable {name}", name, known) for name in meant]


def _flat(key: str) -> str:
    """Return the key as file and variable names spell it."""
    return key.replace(".", "__")


def _variable(key: str) -> str:
    """Return the environment variable of a key."""
    return f"{ENV_PREFIX}{_flat(key).upper()}"


def _entries(value: object) -> object:
    """Return the entries of a list of tables, which a variable or a secret file holds as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _without_marks(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Take the mark off that some editors put before a text (U+FEFF)."""
    return {
        name: _without_marks(value) if isinstance(value, dict) else _without_mark(value)
        for name, value in tables.items()
    }


def _without_mark(value: object) -> object:
    return value.removeprefix("\ufeff") if isinstance(value, str) else value


@dataclass(slots=True)
class _Sources:
    """The values of the sources so far; a later one overrides an earlier one, key by key."""

    given: dict[str, Given] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)

    def read_service_manager(self) -> None:
        if folder := os.environ.get(CACHE_VARIABLE, "").partition(":")[0]:
            self.given["disk.path"] = Given(folder, f"environment variable {CACHE_VARIABLE}")

    def read_file(self, path: Path) -> None:
        text = ""
        try:
            text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
            tables = tomllib.loads(text)
        except OSError as error:
            self.unreadable.append(f"{path} cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            self.unreadable.append(f"{path} is no UTF-8 text (byte {error.start}); save it as UTF-8 in the editor")
        except tomllib.TOMLDecodeError as error:
            self.unreadable.append(f"{path} is no valid TOML: {toml_problem(text, str(error))}")
        else:
            pairs = renamed.rename(tables, renamed.RENAMED)
            self.renamed += [f"{old} ({path}) is called {new} now; this version takes both." for old, new in pairs]
            resolve_paths(tables, path.parent)
            self._take(tables, lambda _key: str(path))
            self._complain_of_file(tables, path)

    def _complain_of_file(self, tables: Mapping[str, object], path: Path) -> None:
        for section, table in tables.items():
            if section in LISTS:
                continue
            if section not in Settings.model_fields or not isinstance(table, dict):
                self.problems.append(unknown_table(section, str(path)))
                continue
            strange = (key for key in table if f"{section}.{key}" not in KEYS)
            self.problems += [unknown_key(f"{section}.{key}", str(path)) for key in strange]

    def read_secrets(self, directory: Path, named_by: str) -> None:
        try:
            source = NestedSecretsSettingsSource(
                SecretsSettingsSource(Settings, directory),
                secrets_dir_missing="error",
                secrets_prefix="",
                secrets_nested_delimiter="__",
            )
            names = [entry.name for entry in directory.iterdir()]
            self._take(_without_marks(source()), lambda key: f"secret file {directory / _flat(key)}")
        except (OSError, SettingsError, UnicodeDecodeError):
            self.unreadable.append(f"{named_by}: {directory} is no directory of readable text files")
            return
        known = {*map(_flat, KEYS), *LISTS}
        near = {name.replace("__", "_") for name in known}  # redis_url is redis__url, which one underscore hides
        ours = (name for name in names if name.partition("__")[0].lower() in Settings.model_fields or name in near)
        strange = (name for name in ours if name.lower() not in known)
        self.problems += [unknown_name(f"secret file {directory / name}", name, known) for name in strange]

    def read_environment(self) -> None:
        self._take(EnvSettingsSource(Settings)(), lambda key: f"environment variable {_variable(key)}")
        self.problems += misnamed_variables()
        if os.environ.get(DISABLING_VARIABLE) == "1":
            self.problems.append(
                f"environment variable {DISABLING_VARIABLE} = 1 is not accepted: purges would delete nothing from disk "
                "and Redis. Take it out of the environment."
            )

    def read_flags(self, overrides: Mapping[str, object]) -> None:
        given = {key: value for key, value in overrides.items() if value is not None}
        self.given |= {key: Given(value, f"flag {FLAGS.get(key, key)}") for key, value in given.items()}

    def _take(self, tables: Mapping[str, Any], origin: Callable[[str], str]) -> None:
        for key in KEYS:
            section, _, name = key.partition(".")
            table = tables.get(section)
            if isinstance(table, dict) and name in table:
                self.given[key] = Given(table[name], origin(key))
        for name in LISTS & tables.keys():
            self.given[name] = Given(_entries(tables[name]), origin(name))

    def settings(self) -> Settings:
        tables: dict[str, Any] = {"cloudreve": {}}
        for key, given in self.given.items():
            section, _, name = key.partition(".")
            if name:
                tables.setdefault(section, {})[name] = given.value
            else:
                tables[section] = given.value
        try:
            settings = Settings.model_validate(tables)
        except ValidationError as error:
            self.problems += [bad_value(details, self.given) for details in error.errors() if self._is_certain(details)]
        if self.unreadable or self.problems:
            raise ConfigError(self.unreadable + self.problems)
        return settings

    def _is_certain(self, details: ErrorDetails) -> bool:
        """Tell whether a problem is certain: a missing setting may be in a source that could not be read."""
        return not (self.unreadable and details["type"] == "missing")
