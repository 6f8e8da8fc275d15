"""Errors of a sign-in with Cloudreve."""

from __future__ import annotations

from http import HTTPStatus

from proxy.domain.errors import ProxyError


class SignInFailed(ProxyError):
    """A sign-in that cannot be brought to its end: it has to begin again."""

    status = HTTPStatus.BAD_REQUEST
    category = "sign_in_failed"
    title = "Sign-in failed"


class CodeRefused(SignInFailed):
    """Cloudreve does not honour the code of a sign-in: it is old, or Cloudreve knows the gateway by another secret."""

    category = "code_refused"
    advice = "compare sign_in.client_id and sign_in.client_secret with the client in Cloudreve's settings"

    @property
    def is_failure(self) -> bool:
        """Tell that it may be the configuration."""
        return True
