"""State that workers of one parent share where the configuration names nothing: a disk tier, sign-outs, a key."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from pydantic import SecretStr

from proxy.settings import Settings, TemporaryDisk, TemporarySeal
from proxy.wiring.disk import with_sign_outs_kept

TEMPORARY_BYTES = 64 * 1024 * 1024
"""How large the disk tier of workers becomes that have none of their own."""

_log = structlog.get_logger("proxy.workers.supervisor")


class CommonState:
    """Lives as long as the parent, over all configurations."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._seal: TemporarySeal | None = None

    def close(self) -> None:
        """Delete what was kept."""
        self._stack.close()

    def added_to(self, settings: Settings) -> Settings:
        """Complete a configuration."""
        return self._with_one_seal(self._with_one_state(settings))

    def _with_one_state(self, settings: Settings) -> Settings:
        """Give all workers one disk tier and one file for sign-outs when they have no Redis."""
        settings = with_sign_outs_kept(settings)
        disk, session = settings.disk, settings.session
        if settings.redis.url is not None or (session.state_path is not None and disk.path is not None):
            return settings
        if self._folder is None:
            self._folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="thumb-proxy-")))
        if disk.path is None:
            disk = TemporaryDisk(path=self._folder / "cache", max_bytes=TEMPORARY_BYTES)
        if session.state_path is None:
            if settings.seal.keys:
                places = "redis.url, session.state_path or disk.path"
                _log.warning(f"no {places}: a restart forgets sign-outs that its cookies outlive")
            session = session.model_copy(update={"state_path": self._folder / "sign-outs"})
        return settings.model_copy(update={"disk": disk, "session": session})

    def _with_one_seal(self, settings: Settings) -> Settings:
        """Give all workers the same key when none is configured: each serves what any of them has given out."""
        if settings.seal.keys:
            return settings
        if self._seal is None:
            _log.warning("no seal.keys: sealed URLs and cookies open in these workers only, and not after a restart")
            self._seal = TemporarySeal(keys=(SecretStr(secrets.token_urlsafe(32)),))
        return settings.model_copy(update={"seal": self._seal})
