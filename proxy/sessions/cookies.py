"""The gateway's cookies, as requests bring them and answers set them."""

from __future__ import annotations

from aiohttp import web

from proxy.domain.model import SessionCookie
from proxy.fastpath.asked import EVIDENCE
from proxy.http.request_origin import Front
from proxy.sessions.cookie_syntax import SameSite, cookie_name, read_cookie, set_cookie
from proxy.sessions.session import may_use_cookie

ATTEMPT_SUFFIX = "_sign_in"
"""Behind the session cookie's name, for the cookie that binds a sign-in to its browser."""


class Jar:
    """Two cookies: a session, and a sign-in that has begun. On https they are secure and this host's alone."""

    def __init__(self, name: str, front: Front) -> None:
        self._session = name
        self._attempt = name + ATTEMPT_SUFFIX
        self._front = front

    @property
    def names(self) -> frozenset[str]:
        """Name the cookies, as they are called on http."""
        return frozenset({self._session, self._attempt})

    def session(self, request: web.Request) -> str | None:
        """Find the session's cookie, where the request may use it."""
        return self._found(request, self._session) if may_use_cookie(request.headers) else None

    def attempt(self, request: web.Request) -> str | None:
        """Find the cookie of a sign-in that has begun. Cloudreve's page, often of another site, leads back to it."""
        return self._found(request, self._attempt)

    def put_session(self, request: web.Request, response: web.StreamResponse, cookie: SessionCookie) -> None:
        """Set the session's cookie; with no value, take it away."""
        self._put(request, response, self._session, cookie, SameSite.STRICT)

    def put_attempt(self, request: web.Request, response: web.StreamResponse, cookie: SessionCookie) -> None:
        """Set the cookie of a sign-in that begins; with no value, take it away."""
        self._put(request, response, self._attempt, cookie, SameSite.LAX)

    async def renew(self, request: web.Request, response: web.StreamResponse) -> None:
        """Set a renewed session's cookie on a picture, for `on_response_prepare`. Such an answer is never public."""
        answer = request.get(EVIDENCE)
        if answer is not None and answer.renewed is not None:
            self.put_session(request, response, answer.renewed)

    def _found(self, request: web.Request, name: str) -> str | None:
        lines = request.headers.getall("Cookie", ())
        return read_cookie(lines, cookie_name(name, is_secure=self._is_secure(request))) if lines else None

    def _put(
        self, request: web.Request, response: web.StreamResponse, name: str, cookie: SessionCookie, same_site: SameSite
    ) -> None:
        is_secure = self._is_secure(request)
        line = set_cookie(name, cookie.value, cookie.lasts_s, is_secure=is_secure, same_site=same_site)
        response.headers.add("Set-Cookie", line)

    def _is_secure(self, request: web.Request) -> bool:
        return self._front.own_origin(request).startswith("https:")


NO_COOKIE = SessionCookie("", 0)
"""Takes a cookie away."""
