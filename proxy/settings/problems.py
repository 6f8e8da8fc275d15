"""The problems of a configuration, for the person who wrote it: key, value, source, and the accepted values."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, NamedTuple

from proxy.settings.account_settings import PublishSettings
from proxy.settings.root import ENV_PREFIX, KEYS, LISTS, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

_ENTRY_REASONS = {
    "tuple_type": "each entry begins with a line [[publish]], in double brackets; a variable holds a JSON list of them",
    "model_type": "an entry is a table of keys and values",
    "missing": "it is missing",
    "extra_forbidden": "there is no such key",
}
"""The meanings of pydantic's kinds of errors, in the words of the entry."""
_MAX_SHOWN = 80
_USERINFO = re.compile(r"//.*@")
_MISSING_URL = f"""\
cloudreve.url is missing: the address at which the gateway reaches Cloudreve. Give it as one of
    --cloudreve-url http://127.0.0.1:5212
    {ENV_PREFIX}CLOUDREVE__URL=http://127.0.0.1:5212   in the environment
    url = "http://127.0.0.1:5212"   under [cloudreve] in the file that --config or {ENV_PREFIX}CONFIG names
To see the gateway at work without a Cloudreve: thumb-proxy demo"""


class Given(NamedTuple):
    """A value as it was written, and where."""

    value: object
    origin: str


def bad_value(error: ErrorDetails, given: Mapping[str, Given]) -> str:
    """Return the text for one finding of the validation."""
    key = ".".join(str(part) for part in error["loc"][:2])
    if error["loc"] and error["loc"][0] in LISTS:
        return _bad_entry(error, given)
    if key not in KEYS:
        return _clash(_reason(error), given)
    if key not in given:
        return _MISSING_URL
    value, origin = given[key]
    item = f"{_shown(key, error['input'])}: " if len(error["loc"]) > 2 else ""  # noqa: PLR2004 - section, key, index
    reason = f"\n    {item}{_reason(error)}." if _reason(error) else ""
    accepted = f"\n    Accepted: {KEYS[key].description}."
    return f"{key} = {_shown(key, value)} ({origin}) is not accepted.{reason}{accepted}"


def _bad_entry(error: ErrorDetails, given: Mapping[str, Given]) -> str:
    """Return the text for one finding inside a list of tables; its values may be secrets."""
    name, *rest = (str(part) for part in error["loc"])
    place = f"[[{name}]] number {int(rest[0]) + 1}" if rest else f"[[{name}]]"
    key = f", {rest[1]}" if len(rest) > 1 else ""
    reason = (_reason(error) or _ENTRY_REASONS.get(error["type"], error["msg"])).removesuffix(".")
    accepted = "".join(f"\n      {key}: {info.description}" for key, info in PublishSettings.model_fields.items())
    return f"{place}{key} ({given[name].origin}) is not accepted: {reason}.\n    Its keys are{accepted}"


def unknown_key(key: str, origin: str) -> str:
    """Return the text for a key that nobody reads; its value is not shown, it may be a misspelt secret."""
    namesakes = [known for known in KEYS if known.partition(".")[2] == key.partition(".")[2]]
    return f"{key} ({origin}): there is no such key.{_hint(namesakes or _near(key, KEYS))}{_keys_of(key)}"


def _keys_of(key: str) -> str:
    """Return the line that names the keys of a key's table."""
    table = key.partition(".")[0]
    keys = " ".join(known.partition(".")[2] for known in KEYS if known.startswith(f"{table}."))
    return f"\n    The keys of [{table}] are {keys}."


def unknown_table(name: str, origin: str) -> str:
    """Return the text for something at the top of the file that is none of the tables."""
    if name in Settings.model_fields:
        return f"{name} ({origin}) has to be a table, with a line [{name}] and its keys below."
    sections = [f"[{section}]" for section in _near(name, Settings.model_fields)]
    namesakes = [known for known in KEYS if known.partition(".")[2] == name]
    tables = " ".join(f"[{section}]" for section in Settings.model_fields)
    return f"{name} ({origin}): there is no such table.{_hint(sections or namesakes)}\n    The tables are {tables}."


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return the text for a variable or secret file whose name no setting has."""
    namesakes = [candidate for candidate in known if candidate.upper().endswith(f"__{_written(name)}")]
    return f"{what} names no setting.{_hint(_near(name, known) or sorted(namesakes))}"


def _clash(reason: str, given: Mapping[str, Given]) -> str:
    """Return the text for settings that do not go together, with each one's value and origin."""
    keys = [key for key in KEYS if re.search(rf"\b{re.escape(key)}\b", reason)]
    lines = [f"\n    {key} = {_shown(key, given[key].value)} ({given[key].origin})" for key in keys if key in given]
    defaults = {key: KEYS[key].default for key in keys if key not in given}
    lines += [
        f"\n    {key} is not set" if value is None else f"\n    {key} = {_shown(key, value)} (the default)"
        for key, value in defaults.items()
    ]
    return f"{reason}.{''.join(lines)}"


def _reason(error: ErrorDetails) -> str:
    """Return what our own check found; pydantic's findings say no more than what is accepted."""
    if error["type"] != "value_error":
        return ""
    reason = str(error["ctx"]["error"])
    return reason if KEYS.keys() & reason.split() else reason[:1].upper() + reason[1:]


def _shown(key: str, value: object) -> str:
    """Return the value as it would be written, without secrets."""
    if "SecretStr" in str(KEYS[key].annotation):
        return "(not shown)"
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = _USERINFO.sub("//(not shown)@", text)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _near(name: str, known: Iterable[str]) -> list[str]:
    """Return the name most like this one, if any is."""
    names = {_written(candidate): candidate for candidate in known}
    return [names[match] for match in difflib.get_close_matches(_written(name), names, n=1, cutoff=0.7)]


def _written(name: str) -> str:
    """Return a name as it is compared."""
    return name.upper().removeprefix(ENV_PREFIX)


def _hint(names: Iterable[str]) -> str:
    """Return the question behind a near miss."""
    text = " or ".join(names)
    return f" Did you mean {text}?" if text else ""
