"""A session: the tokens behind a visitor's cookie, when to renew them, and which requests may use it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from proxy.domain.errors import BadRequest, BadSeal, UpstreamError
from proxy.domain.freshness import DATE_PRECISION_S
from proxy.domain.seal import Purpose, Sealer
from proxy.domain.session import SessionRef
from proxy.http.embedding_rule import OWN_SITE
from proxy.identity.claims import read_claims
from proxy.upstream.token_answers import Tokens

RENEW_S = 60.0
"""How long before its end an access token is renewed, or a tenth of its life where that is less."""
SPENT_S = 5 * DATE_PRECISION_S
"""How long before its end an access token is used no more, or a fiftieth of its life where that is less. Cloudreve's
clock is known to a second or two, and it silently takes an expired token for none (docs/cloudreve.md, whoami)."""
MAX_LIFE_S = 400 * 86400.0
"""Browsers keep no cookie for longer (RFC 6265bis §5.5)."""
MAX_PAYLOAD_BYTES = 2980
"""Sealed and with its name it is a cookie of 4096 bytes at most; tokens take 840 (docs/cloudreve.md, Sign-in)."""


@dataclass(frozen=True, slots=True)
class Session:
    """The content of a sealed cookie. Times are unix seconds on Cloudreve's clock."""

    id: str
    """Random, and the same through all renewals."""
    access: str = field(repr=False)
    begun: float
    """When the access token began."""
    expires: float
    """When it ends."""
    refresh: str = field(repr=False)
    """Empty where the access token cannot be renewed."""
    ends: float
    """When the session ends: none of its tokens is good any more."""
    started: float = 0.0
    """When it was begun; the same through all renewals. 0 in cookies of earlier versions."""

    @property
    def ref(self) -> SessionRef:
        """Name it."""
        claims = read_claims(self.access)
        return SessionRef(claims.subject if claims else "", self.id, self.started)

    @property
    def due_at(self) -> float:
        """Tell when the access token should be renewed."""
        return self.expires - min(RENEW_S, self._life_s / 10)

    def is_due(self, now: float) -> bool:
        """Tell whether the access token should be renewed now, and can be."""
        return bool(self.refresh) and now >= self.due_at

    def is_spent(self, now: float) -> bool:
        """Tell whether the access token can be used no more."""
        return now >= self.expires - min(SPENT_S, self._life_s / 50)

    @property
    def _life_s(self) -> float:
        return max(self.expires - self.begun, 0.0)


class _Payload(msgspec.Struct, array_like=True, forbid_unknown_fields=True, tag="session/1"):
    site: str
    id: str
    access: str
    begun: float
    expires: float
    refresh: str
    ends: float
    started: float = 0.0


def session_of(tokens: Tokens, name: str, now: float, started: float | None = None) -> Session:
    """Make the session `name` of tokens that have been verified; UpstreamError when they do not say when they end.

    A renewed one keeps the time at which it was `started`.
    """
    access, refresh = read_claims(tokens.access), read_claims(tokens.refresh)
    if access is None:
        raise UpstreamError("The access token does not say when it ends.")
    ends = min(max(access.expires, refresh.expires if refresh else 0.0), now + MAX_LIFE_S)
    begun = access.not_before or now
    return Session(
        name, tokens.access, begun, access.expires, tokens.refresh, ends, now if started is None else started
    )


def seal_session(sealer: Sealer, session: Session, site: str, purpose: Purpose = Purpose.SESSION) -> str:
    """Give the cookie's value, good for one Cloudreve site; raise BadRequest when no cookie can hold it."""
    times = (session.begun, session.expires, session.refresh, session.ends, session.started)
    written = _Payload(site, session.id, session.access, *times)
    payload = msgspec.msgpack.encode(written)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BadRequest(
            f"The tokens are too long for a cookie: {len(payload)} bytes, {MAX_PAYLOAD_BYTES} are possible."
        )
    return sealer.seal(purpose, payload)


def open_session(
    sealer: Sealer, text: str, site: str, now: float, purpose: Purpose = Purpose.SESSION
) -> Session | None:
    """Read a cookie's value; None when it is not ours, of another site or version, or over."""
    try:
        read = msgspec.msgpack.decode(sealer.open(purpose, text), type=_Payload)
    except (BadSeal, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if read.site != site or now >= read.ends:
        return None
    return Session(read.id, read.access, read.begun, read.expires, read.refresh, read.ends, read.started)


def may_use_cookie(headers: Mapping[str, str]) -> bool:
    """Tell whether a request comes from a page of this site or from the visitor's own hand, and not from another site.

    By the browser's own word (Fetch Metadata), which no page can set; where there is none (plain http, old browsers)
    `SameSite=Strict` has already kept the cookie back. `headers` are looked up without regard to case.
    """
    return headers.get("Sec-Fetch-Site", "none") in OWN_SITE


def may_change(headers: Mapping[str, str], own_origin: str, others: Collection[str]) -> bool:
    """Tell whether a request may begin or end a session: it comes from our own pages, or those of `others`.

    A browser sends at least `Origin` with every POST and DELETE, so that a request with neither header is no page's.
    """
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if origin is not None and origin in others:
        return True
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or origin == own_origin


def is_navigation(headers: Mapping[str, str]) -> bool:
    """Tell whether a browser asks in order to show a page, by `Sec-Fetch-Mode` or, without it, by `Accept`."""
    mode = headers.get("Sec-Fetch-Mode")
    return mode == "navigate" if mode is not None else "text/html" in headers.get("Accept", "")


def may_sign_in(headers: Mapping[str, str]) -> bool:
    """Tell whether a request may begin a sign-in: in a window of its own, and not from another site.

    Cloudreve's consent page does not ask a visitor who has agreed before: it sends them straight back, signed in.
    """
    is_document = headers.get("Sec-Fetch-Dest", "document") == "document"
    return is_document and may_use_cookie(headers)
