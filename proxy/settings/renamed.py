"""Keys of the version before that have another name now: taken with a warning, for one version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

RENAMED: Mapping[str, str] = {}
"""The old key, as `section.key`, and the new one."""


def rename(tables: dict[str, Any], renamed: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Move old keys of a file's tables to their new places, unless these are taken; give the pairs that were moved."""
    for old, new in renamed.items():
        section, _, name = old.partition(".")
        table = tables.get(section)
        if not isinstance(table, dict) or name not in table:
            continue
        value = table.pop(name)
        if not table:
            del tables[section]
        there, _, key = new.partition(".")
        tables.setdefault(there, {}).setdefault(key, value)
        yield old, new
