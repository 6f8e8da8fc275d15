"""Writes a short configuration, and its secrets into files that nobody else may read."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from proxy.settings.sources import SECRETS_FOLDER
from proxy.setup.answers import Answers

SECRET_MODE = 0o600
FOLDER_MODE = 0o700
_TOP = "# Made by `thumb-proxy init`. `thumb-proxy settings` shows every other setting; secrets lie beside.\n"


def write(answers: Answers, path: Path) -> list[Path]:
    """Write the file and its secrets; give what was written."""
    folder = path.parent / SECRETS_FOLDER
    path.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    kept = folder / "seal__keys"
    written = [_secret(folder / name, text) for name, text in _secrets(answers)]
    if not kept.exists():  # a new key would end every session and empty the cache
        written.append(_secret(kept, secrets.token_hex(32)))
    path.write_text(text_of(answers), encoding="utf-8")
    return [path, *written]


def text_of(answers: Answers) -> str:
    """Give the text of the file; no secret is in it."""
    public = answers.public_origin
    tables = [_table("cloudreve", url=answers.cloudreve_url, **({"public_origins": [public]} if public else {}))]
    server: dict[str, object] = {"public_origin": public} if public else {}
    if answers.whole_site:
        server["passthrough"] = True
    tables.append(_table("server", **server))
    if answers.whole_site:
        tables.append(_table("session", path="/api/session"))
    if answers.disk is not None:
        tables.append(_table("disk", path=str(answers.disk.absolute())))
    for number, entry in enumerate(answers.publish, start=1):
        email = {"email": entry.email} if entry.email else {}
        tables.append(_table("[publish]", prefix=entry.prefix, **email, secret_file=_secret_file(number)))
    return "\n".join((_TOP, *filter(None, tables)))


def _table(name: str, **values: object) -> str:
    lines = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
    return f"[{name}]\n{lines}" if lines else ""


def _secrets(answers: Answers) -> Iterator[tuple[str, str]]:
    if answers.redis_url:
        yield "redis__url", answers.redis_url
    for number, entry in enumerate(answers.publish, start=1):
        yield Path(_secret_file(number)).name, entry.secret


def _secret_file(number: int) -> str:
    return f"{SECRETS_FOLDER}/publish-{number}"


def _secret(path: Path, text: str) -> Path:
    """Write a secret; nobody else may read it at any moment."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
    return path
