"""Whether sign-ins come back from Cloudreve's page, which shows its own errors there and sends nobody back."""

from __future__ import annotations

import structlog

ALARMING = 3
"""So many sign-ins in a row that do not come back are told of; a single person may have thought better of it."""

_log = structlog.get_logger("proxy.sessions")


class SignInReturns:
    """Counts sign-ins that began at this process, and those that came back to it, with a code or an error."""

    def __init__(self, redirect_uri: str) -> None:
        self.begun_total = 0
        self.returned_total = 0
        self._away = 0
        self._redirect_uri = redirect_uri

    def begun(self) -> None:
        """Take note that a visitor is sent to Cloudreve's page."""
        self.begun_total += 1
        self._away += 1
        if self._away == ALARMING:
            _log.warning("sign-ins do not come back from Cloudreve's page", count=self._away, advice=self._advice)

    def returned(self) -> None:
        """Take note that a visitor has come back."""
        self.returned_total += 1
        self._away = 0

    def troubles(self) -> list[str]:
        """Tell of sign-ins that do not come back, and of the likely cause."""
        if self._away < ALARMING:
            return []
        return [f"The last {self._away} sign-ins have not come back from Cloudreve's page: {self._advice}."]

    @property
    def _advice(self) -> str:
        return f"if it shows an error, its OAuth app needs the redirect URI {self._redirect_uri}"
