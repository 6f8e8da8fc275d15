"""Opens the log of changes, and follows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from proxy.domain.model import SessionRef
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.change_log import ChangeLog
from proxy.grants.file_log import FileLog
from proxy.grants.invalidation import Invalidations
from proxy.observe.metrics import Metrics
from proxy.settings import Settings
from proxy.upstream.clock import Clock

FILE = "changes"


def change_feed(
    settings: Settings,
    clock: Clock,
    metrics: Metrics,
    changed: Callable[[], None],
    log: ChangeLog | None,
    session_has_ended: Callable[[SessionRef], bool],
) -> ChangeFeed:
    """Build the feed; `changed` is called whenever a grant may have ended."""
    lasts_s = settings.grants.max_ttl_s + settings.grants.stale_if_error_s
    name = log.name if log is not None else ""
    invalidations = Invalidations(clock.now, lasts_s, name, changed, session_has_ended)
    feed = ChangeFeed(log, invalidations, clock.timer)
    metrics.watch("changes_heard", "Changes that this process has heard of", lambda: invalidations.stamp.heard)
    metrics.watch("changes_waiting", "Changes that other processes have not been told of yet", lambda: feed.waiting)
    metrics.watch("changes_up", "1 while changes are shared, 0 while they cannot be", lambda: float(not feed.is_behind))
    return feed


def file_log(settings: Settings) -> ChangeLog | None:
    """Give the log of all processes of one machine; None where there is no file that they share."""
    path = _path(settings)
    return FileLog(path) if path is not None else None


def _path(settings: Settings) -> Path | None:
    if settings.disk.path is not None:
        return settings.disk.path / FILE
    state = settings.session.state_path
    return state.with_name(f"{state.name}.{FILE}") if state is not None else None
