"""The obfuscated image URL of Cloudreve Pro, made readable on receipt (docs/cloudreve.md, Obfuscation)."""

from __future__ import annotations

from itertools import cycle, islice

from proxy.domain.errors import UpstreamError

MAX_CHARACTERS = 16 * 1024
_KEY_LIFE_S = 1000


def deobfuscate(text: str, server_now: float) -> str:
    """Return the URL hidden in `text`, signed at about `server_now` (Unix seconds on Cloudreve's clock).

    Raise `UpstreamError` when no key fits: a wrong key gives rubbish, which never becomes somebody's address.
    """
    if len(text) > MAX_CHARACTERS:
        raise UpstreamError("Cloudreve's obfuscated image URL is too long.")
    now = int(server_now // _KEY_LIFE_S)
    for key in (now, now - 1, now + 1):
        mark, bar, url = _unshuffle(text, key).partition("|")
        if bar and mark == str(key):
            return url
    raise UpstreamError("Cloudreve's obfuscated image URL cannot be decoded; its clock may be wrong.")


def _unshuffle(text: str, key: int) -> str:
    """Undo the swaps of `key`, the last one first: one step for each character."""
    digits = [int(digit) for digit in reversed(str(abs(key)))]
    characters = list(text)
    steps = [(number, digit) for number, digit in islice(cycle(enumerate(digits)), len(text))]
    for index in reversed(range(len(text))):
        number, digit = steps[index]
        distance = index + digit * number if index % 2 else 2 * number * digit - index
        other = abs(distance) % (index + 1)
        characters[index], characters[other] = characters[other], characters[index]
    return "".join(characters)
