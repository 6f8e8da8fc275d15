"""An answer that has been given, and can be given again as long as nothing that it rests on changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from math import inf
from weakref import ReferenceType, ref

from aiohttp import web

from proxy.answer import Answer
from proxy.metrics import Tally
from proxy.model import Grant, Identity, Picture
from proxy.policy.headers import Handling, picture_fields
from proxy.policy.keys import picture_key

_COUNTED = ("Date", "Cache-Control", "Cache-Status")
"""The fields that tell seconds."""

_OBJECT_BYTES = 1600
"""What an entry costs beside its texts: its objects, those of a grant that no tier holds any more, its place in a
table. Measured on CPython 3.11 (`tests/web/test_hitpath.py` measures again)."""


@dataclass(slots=True)
class Finished:
    """Head and body of one answer. The bytes of a picture are the memory tier's: they live no longer than there."""

    identity: Identity
    handling: Handling
    grant: Grant
    grant_key: str
    """Where the memory tier holds the grant; empty where the request itself brings it, sealed."""
    picture: ReferenceType[Picture] | None
    """None where the visitor has it already (304)."""
    picture_key: str
    until: float
    """Unix time in seconds on Cloudreve's clock from which on the request has to go the long way."""
    is_trusted: bool
    """Whether what the request said of its way here was believed."""
    tally: Tally
    narrate: Callable[[], object] | None
    fixed: bytes
    """The head without what tells seconds."""
    head: bytes = b""
    sure_from: float = inf
    sure_until: float = -inf
    """Between these times, on Cloudreve's clock, the head is true."""
    version: int = -1
    """Of the memory tier, when it was last seen to hold what this rests on."""

    def write_head(self, now: float) -> None:
        """Make the head for this second."""
        fields = dict(picture_fields(self.identity, None, self.grant.fresh_until - now, self.handling))
        fields["Date"] = formatdate(usegmt=True)
        lines = "".join(f"{name}: {fields[name]}\r\n" for name in _COUNTED)
        self.head = b"%b%b\r\n" % (self.fixed, lines.encode())
        self.sure_from, self.sure_until = float(int(now)), min(int(now) + 1.0, self.until)

    def size_bytes(self, raw: bytes) -> int:
        """Estimate what it takes, together with the bytes of its request."""
        return _OBJECT_BYTES + len(raw) + 3 * len(self.fixed)


def finished(
    answer: Answer,
    response: web.StreamResponse,
    until: float,
    *,
    is_trusted: bool,
    tally: Tally,
    narrate: Callable[[], object] | None,
) -> Finished:
    """Keep an answer that is about to leave as this response; what it shows is complete."""
    picture = answer.shown.body if answer.shown is not None else None
    assert picture is None or isinstance(picture, Picture)  # noqa: S101 - see above
    return Finished(
        identity=answer.identity,
        handling=answer.handling,
        grant=answer.found.grant,
        grant_key=answer.found.key,
        picture=ref(picture) if picture is not None else None,
        picture_key=picture_key(picture.id) if picture is not None else "",
        until=until,
        is_trusted=is_trusted,
        tally=tally,
        narrate=narrate,
        fixed=_fixed(response),
    )


def _fixed(response: web.StreamResponse) -> bytes:
    fields = [(name, value) for name, value in response.headers.items() if name not in _COUNTED]
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{lines}".encode("utf-8", "surrogateescape")
