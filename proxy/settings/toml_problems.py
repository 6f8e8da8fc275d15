"""The problems of a file that is no TOML, for the person who wrote it; no value is shown, it may be a secret."""

from __future__ import annotations

import re
from typing import NamedTuple

_SWITCHES = frozenset({"true", "false", "yes", "no", "on", "off"})
_CURLY = "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"
"""What word processors make of quotation marks."""
_OPEN_QUOTE = re.compile(r"Illegal character '\\[nr]|Unterminated string|Expected (\"'\"|'\"')")
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_KEY = re.compile(r"\s*([A-Za-z0-9_.-]{1,60})\s*[=:]")

_ADVICE: tuple[tuple[str, str], ...] = (
    ("Cannot overwrite a value", "a key or table is there twice; keep one of them"),
    ("Cannot declare", "this table is there twice; put the keys of both below one line in brackets"),
    ("Cannot mutate", "this table is there twice; put the keys of both below one line in brackets"),
    (
        "Unescaped",
        r"a backslash between double quotation marks is written \\, or the text between single ones: 'C:\path'",
    ),
    ("Unclosed array", "a list begins with [ and has no ]"),
    ("Expected ']'", "the line of a table has a bracket on both sides, as [server]"),
    (
        "Expected newline",
        "one value per line, and nothing behind it but a # with a comment; texts and units need quotation marks",
    ),
    ("Expected '='", "a line of a setting is: key = value"),
    ("Invalid statement", "a line is either [table] or key = value"),
)
"""How messages of tomllib begin, and their meanings for the file's author."""


class _Place(NamedTuple):
    number: int
    text: str


def toml_problem(text: str, message: str) -> str:
    """Name the line, its key, what is wrong there and what is accepted, for a message of tomllib's about a text."""
    place = _place(text, message)
    key = _KEY.match(place.text)
    named = f" ({key[1]})" if key else ""
    return f"line {place.number}{named}: {_advice(_PLACE.sub('', message), place.text)}"


def _place(text: str, message: str) -> _Place:
    lines = text.splitlines() or [""]
    found = _PLACE.search(message)
    if found and found[1]:
        number = int(found[1])
    else:
        number = max((at for at, line in enumerate(lines, start=1) if line.strip()), default=1)
    return _Place(number, lines[number - 1] if number <= len(lines) else "")


def _advice(message: str, line: str) -> str:
    value = line.partition("=")[2].strip()
    if any(mark in line for mark in _CURLY):
        return 'quotation marks have to be straight ones: "text"'
    if _OPEN_QUOTE.search(message):
        return "a quotation mark is open: the text has to end with the same mark in the same line"
    for beginning, advice in _ADVICE:
        if message.startswith(beginning):
            return advice
    return _bad_value(value.partition("#")[0].strip()) if message == "Invalid value" else message


def _bad_value(value: str) -> str:
    if not value:
        return "there is no value behind the equals sign; take the line out to keep the default"
    if value.lower() in _SWITCHES:
        return "a switch is either true or false, in lower case and without quotation marks"
    return 'texts need quotation marks, as in "text"; without them stand numbers, true, false and lists in [ ]'
