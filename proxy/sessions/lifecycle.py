"""From a sealed cookie to tokens and back: sessions begin, are renewed once for everybody, and end."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import NamedTuple

import structlog

from proxy.cache.shared_values import SharedValues
from proxy.coalesce.messages import Received, Stored, Whole
from proxy.coalesce.singleflight import Singleflight
from proxy.coalesce.work_sharing import Handover, Loader, WorkSharing
from proxy.domain.errors import Busy, ProxyError
from proxy.domain.keys import renewal_key
from proxy.domain.seal import Purpose, Sealer
from proxy.domain.session import SessionCookie
from proxy.identity.identify import SignedIn
from proxy.sessions.session import Session, open_session, seal_session, session_of
from proxy.sessions.sign_outs import SignOuts
from proxy.upstream.clock import Clock
from proxy.upstream.oauth import OAuth
from proxy.upstream.token_answers import Tokens

OVER = "over"
"""Stands for the renewed session where there is none: Cloudreve refuses to renew it."""
ENDED = "ended"
"""Stands for the end of a session that its visitor has ended."""
OVER_S = 60.0
"""How long that is believed: a refusal may also mean that its database was away (docs/cloudreve.md, Sign-in)."""
REVOKE_S = 3.0
"""How long a visitor who signs out waits for Cloudreve to hear of it."""
_HOPS = 2
"""An old cookie's renewed session may be due itself; its own successor is not."""

_log = structlog.get_logger("proxy.sessions.lifecycle")


class LiveSession(NamedTuple):
    """A live session."""

    session: Session
    sure_until: float
    """Unix time in seconds on Cloudreve's clock at which it has to be looked at again."""
    renewed: SessionCookie | None
    """The cookie that is to replace the visitor's, if any."""


class SignOut(NamedTuple):
    """The end of a session, on its way to all who have to know."""

    told: asyncio.Future[str]
    is_new: bool
    """Whether the session was live here until now."""


class Sessions:
    """Opens cookies. Whatever is wrong with one, it is no session, and no error."""

    def __init__(
        self,
        sealer: Sealer,
        oauth: OAuth,
        shared_values: SharedValues,
        sign_outs: SignOuts,
        sharing: WorkSharing,
        clock: Clock,
        singleflight: Singleflight[str],
        site: str,
    ) -> None:
        self._sealer = sealer
        self._oauth = oauth
        self._shared_values = shared_values
        self._sign_outs = sign_outs
        self._sharing = sharing
        self._clock = clock
        self._singleflight = singleflight
        self._site = site

    def begin(self, tokens: Tokens) -> tuple[Session, SessionCookie]:
        """Begin a session with tokens that have been verified; raise BadRequest where no cookie can hold them."""
        session = session_of(tokens, secrets.token_hex(16), self._clock.now())
        return session, self._cookie(session)

    async def enter(self, cookie: str) -> LiveSession | None:
        """Give the session behind a cookie, its token good for a call; None when it is bad, expired, ended or refused.

        A token that is about to run out is renewed behind the visitor's back, one that has run out before their eyes:
        only then trouble with Cloudreve is raised.
        """
        session, is_renewed = self._opened(cookie), False
        if session is None or self._sign_outs.has_ended(session.ref):
            return None
        sure_until = await self._sign_outs.sure_until()
        for _ in range(_HOPS):
            if not session.is_due(self._clock.now()):
                break
            successor = await self._successor(session)
            if successor is None:
                break
            renewed = self._renewed(session, successor)
            if renewed is None:
                return None
            session, is_renewed = renewed, True
        if session.is_spent(self._clock.now()) or self._sign_outs.has_ended(session.ref):  # by now
            return None
        sure_until = min(sure_until, session.due_at if session.refresh else session.ends)
        return LiveSession(session, sure_until, self._cookie(session) if is_renewed else None)

    async def signed_in(self, cookie: str) -> SignedIn | None:
        """Give what `enter` gives, as far as it matters to the step that names the visitor."""
        live = await self.enter(cookie)
        return SignedIn(live.session.access, live.session.ref, live.sure_until, live.renewed) if live else None

    def end(self, cookie: str) -> SignOut | None:
        """End the session behind a cookie, for every copy of it; None where there is none, or all know of its end.

        Here it has ended at once. The future is done when the other processes and Cloudreve have been told, whether
        anybody waits for that or not: a visitor who signs out may leave before the answer. It raises SignOutPending
        where a process may not know yet.
        """
        session = self._opened(cookie)
        if session is None:
            return None
        is_new = self._sign_outs.end(session.ref, session.ends)
        if not is_new and self._sign_outs.is_told(session.ref):
            return None
        try:
            told, _ = self._singleflight.join("end " + session.id, lambda: self._tell_of_end(session, is_new=is_new))
        except Busy as error:
            told = asyncio.get_running_loop().create_future()
            told.set_exception(error)
        return SignOut(told, is_new)

    def user_of(self, cookie: str) -> str:
        """Name the user whose cookie it is, whether its session has ended or not; empty for no cookie of ours."""
        session = self._opened(cookie)
        return session.ref.user if session is not None else ""

    def _opened(self, text: str) -> Session | None:
        return open_session(self._sealer, text, self._site, self._clock.now())

    def _renewed(self, session: Session, text: str) -> Session | None:
        """Read a renewed session; None for anything else."""
        renewed = open_session(self._sealer, text, self._site, self._clock.now(), Purpose.RENEWAL)
        return renewed if renewed is not None and renewed.id == session.id else None

    def _cookie(self, session: Session) -> SessionCookie:
        text = seal_session(self._sealer, session, self._site)
        return SessionCookie(text, session.ends - self._clock.now())

    async def _successor(self, session: Session) -> str | None:
        """Give the renewed session, sealed; `OVER`; or None while it is on its way and the old one still serves."""
        key = renewal_key(session.refresh)
        known = self._shared_values.get_nowait(key)
        if known is not None:
            return known
        if session.is_spent(self._clock.now()):
            outcome, _ = self._singleflight.join(key, lambda: self._renew(session, key))
            return await outcome
        with suppress(Busy):
            self._singleflight.join(key, lambda: self._renew(session, key))
        return None

    async def _renew(self, session: Session, key: str) -> str:
        """Renew once over all replicas; the others find the outcome in the message or in the notes."""

        async def read(received: Received | None) -> str | None:
            match received:
                case Whole(value):
                    text: str | None = value.decode("ascii", "replace")
                case Stored(value):
                    text = self._shared_values.opened(key, value)
                case _:
                    text = None
            return self._taken(session, key, text or await self._shared_values.get(key))

        return await self._sharing.share(Loader(key, read, lambda: self._load(session, key), _handover))

    def _taken(self, session: Session, key: str, text: str | None) -> str | None:
        """Take over the outcome of another replica, if our keys open it."""
        renewed = self._renewed(session, text) if text else None
        if text == OVER:
            self._shared_values.set_nowait(key, OVER, OVER_S)
        elif renewed is not None and text is not None:
            self._shared_values.set_nowait(key, text, renewed.expires - self._clock.now())
        else:
            return None
        return text

    async def _load(self, session: Session, key: str) -> str:
        tokens = await self._oauth.refresh(session.refresh)
        now = self._clock.now()
        if tokens is None:
            await self._shared_values.set(key, OVER, OVER_S)
            return OVER
        renewed = session_of(Tokens(tokens.access, tokens.refresh or session.refresh), session.id, now, session.started)
        text = seal_session(self._sealer, renewed, self._site, Purpose.RENEWAL)
        await self._shared_values.set(key, text, renewed.expires - now)
        return text

    async def _tell_of_end(self, session: Session, *, is_new: bool) -> str:
        revoking = self._revoke(session.refresh) if is_new and session.refresh else asyncio.sleep(0)
        _, told = await asyncio.gather(revoking, self._sign_outs.told(session.ref), return_exceptions=True)
        if isinstance(told, BaseException):
            raise told
        return ENDED

    async def _revoke(self, refresh_token: str) -> None:
        try:
            async with asyncio.timeout(REVOKE_S):
                await self._oauth.revoke(refresh_token)
        except (ProxyError, TimeoutError) as error:
            _log.warning("cloudreve not told of the sign-out", error=type(error).__name__)


def _handover(text: str) -> Handover:
    return Handover(Whole(text.encode()))
