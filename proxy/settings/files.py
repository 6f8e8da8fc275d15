"""The files that settings name: each has to be there, to be readable, and to hold what it is named for."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import AfterValidator

from proxy.domain.sniff import SNIFF_BYTES, media_type

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FALLBACK_BYTES = 1024 * 1024
MAX_SECRET_BYTES = 64 * 1024
MAX_CA_BYTES = 4 * 1024 * 1024

_KEYS = (
    ("cloudreve", "ca_file"),
    ("disk", "path"),
    ("embed", "fallback"),
    ("publish", "secret_file"),
    ("session", "state_path"),
    ("watch", "secret_file"),
)
"""Table and key of every setting that names a file."""


def resolve_paths(tables: Mapping[str, Any], folder: Path) -> None:
    """Make the relative paths in a configuration file's tables relative to its folder, in place."""
    for name, key in _KEYS:
        table = tables.get(name)
        for entry in table if isinstance(table, list) else [table]:
            if isinstance(entry, dict) and isinstance(entry.get(key), str) and entry[key]:
                entry[key] = str(folder / entry[key])


def _picture(path: Path) -> Path:
    """Return the path of a picture that browsers can show."""
    body = _read(path, MAX_FALLBACK_BYTES)
    if media_type(body[:SNIFF_BYTES]) is None:
        raise ValueError("this is no picture")
    return path


def _certificates(path: Path) -> Path:
    """Return the path of a file of PEM certificates."""
    _read(path, MAX_CA_BYTES)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise ValueError("this file holds no certificates in PEM") from None
    return path


def _secret(path: Path) -> Path:
    """Return the path of a text file that is not empty."""
    try:
        text = _read(path, MAX_SECRET_BYTES).decode()
    except UnicodeDecodeError:
        raise ValueError("this is no UTF-8 text") from None
    if not text.strip():
        raise ValueError("the secret is empty")
    return path


def _state(path: Path) -> Path:
    """Return the path of a file that may be there already or still has to be made."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError("this is no file in a directory that is there")
    return path


def own_folder(path: Path) -> Path:
    """Return the path of a directory that may be there already or still has to be made."""
    try:
        status = path.stat()
    except FileNotFoundError:
        if not path.absolute().parent.is_dir():
            raise ValueError("the directory above it is not there") from None
        return path
    except OSError as error:
        raise ValueError(f"the directory cannot be used: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise ValueError("this is no directory")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError("others than its owner may write to this directory")
    return path


def _read(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a file; ValueError says why it cannot be used."""
    try:
        if not path.is_file():
            raise ValueError("there is no such file")
        with path.open("rb") as file:
            body = file.read(max_bytes + 1)
    except OSError as error:
        raise ValueError(f"the file cannot be read: {error.strerror}") from None
    if len(body) > max_bytes:
        raise ValueError(f"the file is larger than {max_bytes} bytes")
    return body


CaFile: TypeAlias = Annotated[Path, AfterValidator(_certificates)]
PictureFile: TypeAlias = Annotated[Path, AfterValidator(_picture)]
StateFile: TypeAlias = Annotated[Path, AfterValidator(_state)]
CacheFolder: TypeAlias = Annotated[Path, AfterValidator(own_folder)]
SecretFile: TypeAlias = Annotated[Path, AfterValidator(_secret)]
