"""The gateway's cookies, as requests bring them and answers set them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiohttp import web

from proxy.domain.session import SessionCookie
from proxy.http.outcome import outcome_of
from proxy.http.request_origin import RequestOrigin
from proxy.sessions.cookie_syntax import SameSite, cookie_name, cookie_names, read_cookie, set_cookie
from proxy.sessions.session import may_use_cookie

NO_COOKIE = SessionCookie("", 0)
"""Takes a cookie away."""
ATTEMPT_SUFFIX = "_sign_in_"
"""Behind the session cookie's name, for cookies that bind sign-ins to their browser; the state's beginning follows."""
MAX_ATTEMPTS = 5
"""How many sign-ins one browser may have under way: one in each of some tabs, and little to send with each request."""
_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
_TOLD_CHARS = 8


class SessionCookies:
    """Two kinds of cookies: a session, and sign-ins that have begun. On https they are secure and this host's alone."""

    def __init__(self, name: str, request_origin: RequestOrigin) -> None:
        self._session = name
        self._attempt = name + ATTEMPT_SUFFIX
        self._request_origin = request_origin

    @property
    def names(self) -> frozenset[str]:
        """Name the cookies as they are called on http; more may follow behind a name and `_`."""
        return frozenset({self._session})

    def session(self, request: web.Request) -> str | None:
        """Find the session's cookie, where the request may use it."""
        return self._found(request, self._session) if may_use_cookie(request.headers) else None

    def session_name(self, own_origin: str) -> str:
        """Give the session cookie's full name, where the gateway is known by this origin."""
        return cookie_name(
            self._session, is_secure=own_origin.startswith("https:"), path=self._request_origin.path or "/"
        )

    def attempt(self, request: web.Request, states: Sequence[str]) -> str | None:
        """Find the cookie of the sign-in of this state. Cloudreve's page, often of another site, leads back to it."""
        name = self._attempt_of(states[0]) if len(states) == 1 and _STATE.fullmatch(states[0]) else None
        return self._found(request, name) if name else None

    def put_session(self, request: web.Request, response: web.StreamResponse, cookie: SessionCookie) -> None:
        """Set the session's cookie; with no value, take it away."""
        self._put(request, response, self._session, cookie, SameSite.STRICT)

    def put_attempt(
        self, request: web.Request, response: web.StreamResponse, state: str, cookie: SessionCookie
    ) -> None:
        """Set the cookie of a sign-in that begins, and drop the oldest of too many."""
        lines, bare = request.headers.getall("Cookie", ()), self._full(request, "")
        begun = cookie_names(lines, bare + self._attempt)
        for name in begun[: max(len(begun) + 1 - MAX_ATTEMPTS, 0)]:
            self._put(request, response, name.removeprefix(bare), NO_COOKIE, SameSite.LAX)
        self._put(request, response, self._attempt_of(state), cookie, SameSite.LAX)

    def drop_attempt(self, request: web.Request, response: web.StreamResponse, state: str) -> None:
        """Take away the cookie of a sign-in that has ended."""
        self._put(request, response, self._attempt_of(state), NO_COOKIE, SameSite.LAX)

    def renew(self, request: web.Request, response: web.StreamResponse) -> None:
        """Set a renewed session's cookie on a picture. Such an answer is never public."""
        outcome = outcome_of(response)
        if outcome is not None and outcome.answer is not None and outcome.answer.renewed is not None:
            self.put_session(request, response, outcome.answer.renewed)

    def _attempt_of(self, state: str) -> str:
        return self._attempt + state[:_TOLD_CHARS]

    def _found(self, request: web.Request, name: str) -> str | None:
        lines = request.headers.getall("Cookie", ())
        return read_cookie(lines, self._full(request, name)) if lines else None

    def _put(
        self, request: web.Request, response: web.StreamResponse, name: str, cookie: SessionCookie, same_site: SameSite
    ) -> None:
        is_secure, path = self._is_secure(request), self._request_origin.path or "/"
        line = set_cookie(name, cookie.value, cookie.lasts_s, is_secure=is_secure, same_site=same_site, path=path)
        response.headers.add("Set-Cookie", line)

    def _full(self, request: web.Request, name: str) -> str:
        return cookie_name(name, is_secure=self._is_secure(request), path=self._request_origin.path or "/")

    def _is_secure(self, request: web.Request) -> bool:
        return self._request_origin.own_origin(request).startswith("https:")
