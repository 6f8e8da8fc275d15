"""The operators' side of several workers: one port for all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from proxy.admin.routes import routes
from proxy.admin.status import Page, Report, page
from proxy.http.health import healthz, plain
from proxy.http.problems import problems
from proxy.settings import Settings
from proxy.workers.merged_metrics import merged

Roll = Callable[[], Awaitable[Mapping[int, Report | None]]]
"""Asks every worker how it is; None for one that does not answer."""


class AdminPort:
    """Shows all workers' health, status and metrics."""

    def __init__(self, roll: Roll, settings: Callable[[], Settings], more: Sequence[web.RouteDef] = ()) -> None:
        self._roll = roll
        self._settings = settings
        """Those of the newest configuration."""
        self._more = more

    def application(self) -> web.Application:
        """Make it."""
        app = web.Application(middlewares=[problems])
        app.add_routes(
            [
                web.get("/metrics", self._show_metrics),
                web.get("/healthz", healthz),
                web.get("/readyz", self._readyz),
                *self._more,
                *routes(self._page, self._settings().admin),
            ]
        )
        return app

    async def _readyz(self, _: web.Request) -> web.Response:
        """Answer 200 when all workers are ready, otherwise 503 with the number of each that is not."""
        reports = await self._roll()
        missing = [number for number, report in reports.items() if report is None or not report.is_ready]
        if missing:
            lines = (f"worker {number} is not ready" for number in missing)
            return plain(*lines, status=HTTPStatus.SERVICE_UNAVAILABLE)
        troubles = dict.fromkeys(trouble for report in reports.values() if report for trouble in report.troubles)
        return plain("ready", *troubles)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        reports = await self._roll()
        body = merged({number: report.metrics for number, report in reports.items() if report})
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _page(self) -> Page:
        return page(self._settings(), await self._roll())
