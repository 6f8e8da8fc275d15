"""Signing in at Cloudreve's consent page (OAuth 2.0 code flow): where it begins, what comes back, where it lands."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode

import msgspec

from proxy.domain.errors import BadRequest, BadSeal
from proxy.domain.seal import Purpose, Sealer
from proxy.domain.sign_in_errors import SignInFailed
from proxy.sessions.pkce import METHOD, challenge_of

ATTEMPT_S = 900.0
"""How long signing in may take; Cloudreve's code is good for ten minutes of it (docs/cloudreve.md, Sign-in)."""
MAX_LANDING_CHARS = 1024

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
"""Browsers drop tabs and line breaks out of a URL and read `\\` as `/` (URL Standard)."""
_CODE = re.compile(r"[A-Za-z0-9._~-]{1,512}")
_OAUTH_ERRORS = frozenset(
    {
        "access_denied",
        "invalid_request",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_response_type",
    }
)
"""RFC 6749 §4.1.2.1; anything else may be anybody's text and is not repeated."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that has begun; the browser in which it did keeps it, sealed."""

    state: str = field(repr=False)
    verifier: str = field(repr=False)
    landing: str = field(repr=False)
    until: float
    """Unix time in seconds on Cloudreve's clock."""


class _Payload(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag="attempt/1"):
    site: str
    state: str
    verifier: str
    landing: str
    until: float


def seal_attempt(sealer: Sealer, attempt: Attempt, site: str) -> str:
    """Give the value of the cookie that binds an attempt to its browser."""
    written = _Payload(site, attempt.state, attempt.verifier, attempt.landing, attempt.until)
    return sealer.seal(Purpose.STATE, msgspec.msgpack.encode(written))


def open_attempt(sealer: Sealer, text: str | None, site: str, now: float) -> Attempt | None:
    """Read such a value; None when there is none, or it is not ours, of another site, or too old."""
    if text is None:
        return None
    try:
        read = msgspec.msgpack.decode(sealer.open(Purpose.STATE, text), type=_Payload)
    except (BadSeal, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if read.site != site or now >= read.until:
        return None
    return Attempt(read.state, read.verifier, read.landing, read.until)


def landing(texts: Sequence[str], session_path: str, origins: Collection[str] = ()) -> str:
    """Give the path to land at, or the URL at one of `origins`; `/` where none is asked for.

    Raises BadRequest for anything else. `session_path` is the gateway's own, as browsers know it.
    """
    if not texts:
        return "/"
    text = texts[0]
    origin = next((origin for origin in origins if text == origin or text.startswith(f"{origin}/")), "")
    path = (text.removeprefix(origin) or "/") if origin else text
    if len(texts) > 1 or not _stays_there(path, "" if origin else session_path):
        raise BadRequest("`next` must be one path on this site, such as /gallery.html, or lead to `session.origins`.")
    try:
        return origin + quote(path, safe="/?#[]@!$&'()*+,;=:%~")
    except UnicodeEncodeError:  # bytes that are no UTF-8
        raise BadRequest("`next` must be text.") from None


def authorize_url(site_origin: str, client_id: str, redirect_uri: str, scopes: str, attempt: Attempt) -> str:
    """Name Cloudreve's consent page for an attempt (docs/cloudreve.md, Sign-in)."""
    query = {
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": scopes,
        "state": attempt.state,
        "code_challenge": challenge_of(attempt.verifier),
        "code_challenge_method": METHOD,
    }
    return f"{site_origin}/session/authorize?{urlencode(query, quote_via=quote)}"


def is_answer(attempt: Attempt | None, states: Sequence[str]) -> bool:
    """Tell whether what came back belongs to the attempt that this browser keeps."""
    if attempt is None or len(states) != 1:
        return False
    return hmac.compare_digest(states[0].encode("utf-8", "replace"), attempt.state.encode())


def answered(
    attempt: Attempt | None, states: Sequence[str], codes: Sequence[str], errors: Sequence[str]
) -> tuple[Attempt, str]:
    """Give the attempt and the code that came back for it; raise SignInFailed for anything else."""
    if attempt is None:
        raise SignInFailed("This sign-in did not begin in this browser, or too long ago.")
    if not is_answer(attempt, states):
        raise SignInFailed("This is the answer to another sign-in.")
    if errors:
        reason = errors[0] if errors[0] in _OAUTH_ERRORS else "an unknown error"
        raise SignInFailed(f"Cloudreve did not agree: {reason}.")
    if len(codes) != 1 or not _CODE.fullmatch(codes[0]):
        raise SignInFailed("Cloudreve's answer has no code.")
    return attempt, codes[0]


def _stays_there(text: str, session_path: str) -> bool:
    """Tell whether it is a path on its site, also for browsers and servers that decode it more than once."""
    if not text.startswith("/") or len(text) > MAX_LANDING_CHARS or _UNSAFE.search(text):
        return False
    path = re.split(r"[?#]", text, maxsplit=1)[0]
    while (decoded := unquote(path)) != path:
        path = decoded
    if "//" in path or _UNSAFE.search(path) or {".", ".."} & set(path.split("/")):
        return False
    # Landing at the sign-in would begin it anew, for ever where Cloudreve asks no more.
    return not session_path or not f"{path}/".lower().startswith(
        (f"{session_path}/login/", f"{session_path}/callback/")
    )
