"""The encoder of Cloudreve Pro's obfuscated URLs (docs/cloudreve.md, Obfuscation)."""

from __future__ import annotations

KEY_S = 1000
"""The key is the unix time of signing in units of so many seconds."""


def obfuscate(url: str, now: float) -> str:
    """Scramble `{key}|{url}` the way the server does: append each character, then swap it with an earlier one."""
    key = str(int(now) // KEY_S)
    digits = [int(digit) for digit in reversed(key)]
    text: list[str] = []
    for turn, character in enumerate(f"{key}|{url}"):
        index = turn % len(digits)
        step = digits[index] * index
        place = abs(2 * step - turn if turn % 2 == 0 else turn + step) % (turn + 1)
        text.append(character)
        text[turn], text[place] = text[place], text[turn]
    return "".join(text)
