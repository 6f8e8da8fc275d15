"""The parts of one process below its web side, each built with what it needs; closed in the opposite order."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import aiohttp
import structlog

from proxy.cache.redis_tier import RedisTier
from proxy.cache.shared_values import SharedValues
from proxy.cache.tiers import Tiers
from proxy.coalesce.deadline import Countdown
from proxy.coalesce.fair_queue import FairQueue
from proxy.coalesce.singleflight import Singleflight
from proxy.coalesce.work_sharing import WorkSharing
from proxy.domain.fields import Fields
from proxy.domain.file_uri import parse
from proxy.domain.grant import Grant
from proxy.domain.keys import site_digest
from proxy.domain.picture import NoVariant, Picture
from proxy.domain.refusal import Refusal
from proxy.domain.seal import Sealer
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.lookup import Grants
from proxy.grants.resolve import Resolver
from proxy.grants.share_owners import ShareOwners
from proxy.grants.terms import Terms
from proxy.http.health import Health
from proxy.identity.accounts import Account, Accounts
from proxy.identity.identify import Identifier
from proxy.identity.published import PublishedFolder
from proxy.identity.whoami import Whoami
from proxy.observe.metrics import Metrics
from proxy.observe.span import Observer
from proxy.passthrough.client import MAX_HEAD_BYTES, UpstreamClient
from proxy.passthrough.cross_origin import SiteCors
from proxy.pictures.encoders import Encoders
from proxy.pictures.lookup import Pictures
from proxy.pictures.revalidation import Revalidation
from proxy.pictures.variants import Variants
from proxy.sessions.lifecycle import Sessions
from proxy.sessions.sign_out_stores import FileStore, RedisStore, Store
from proxy.sessions.sign_outs import SETTLE_S, SignOuts
from proxy.settings import MAX_FOLDER_BYTES, Settings
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.images import Images
from proxy.upstream.kept_connections import WaryRequest
from proxy.upstream.oauth import OAuth
from proxy.upstream.trust import trust
from proxy.wiring.background import run_until_closed
from proxy.wiring.of_settings import times_of

T = TypeVar("T")

SLOW = 7
"""So many times the slots is what slow work may take beside them."""
WHOAMI_CALLS = 16
"""How many whoami calls are under way at once, at most; each takes Cloudreve milliseconds."""

_log = structlog.get_logger("proxy.wiring.process")


@dataclass(frozen=True, slots=True)
class Parts:
    """Builds the steps and the objects below them."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    observer: Observer
    health: Health
    stack: AsyncExitStack
    leaving: Countdown
    """The rest of `server.shutdown_s`."""

    async def sign_outs(self, tiers: Tiers, redis: RedisTier | None) -> SignOuts:
        """Make the list of sessions that have ended, shared and kept wherever there is a place for it."""
        stores: list[Store] = []
        if redis is not None:
            stores.append(RedisStore(redis, self.settings.redis.pause_s + SETTLE_S))
        if self.settings.session.state_path is not None:
            stores.append(FileStore(self.settings.session.state_path))
        if not stores and self.settings.seal.keys:
            _log.warning(
                "no redis.url, session.state_path or disk.path: a restart forgets sign-outs that its cookies outlive"
            )
        sign_outs = SignOuts(stores, self.clock, tiers.memory.touch)
        await self.background(sign_outs.follow())
        return sign_outs

    async def sessions(
        self,
        sealer: Sealer,
        oauth: OAuth,
        shared_values: SharedValues,
        sign_outs: SignOuts,
        sharing: WorkSharing,
    ) -> Sessions:
        """Make the sessions, which open cookies."""
        singleflight = await self.singleflight(Singleflight[str](self.settings.cloudreve.max_waiting))
        site = site_digest(self.settings.site)
        return Sessions(sealer, oauth, shared_values, sign_outs, sharing, self.clock, singleflight, site)

    async def identifier(self, cloudreve: Cloudreve, sessions: Sessions, accounts: Accounts) -> Identifier:
        """Make the step that names visitors."""
        secret = self.settings.cloudreve.secret_key
        secret_key = secret.get_secret_value().encode() if secret else None
        singleflight = await self.singleflight(Singleflight[str | None]())
        whoami = Whoami(cloudreve, self.clock, self.metrics, singleflight, self.fair_queue("whoami", WHOAMI_CALLS))
        return Identifier(whoami, self.clock, self.settings.identity, secret_key, sessions, accounts)

    async def accounts(self, oauth: OAuth) -> Accounts:
        """Make the accounts that have published something, and keep them fresh."""
        entries = list(enumerate(self.settings.publish))
        folders = [PublishedFolder(parse(entry.prefix, MAX_FOLDER_BYTES), number) for number, entry in entries]
        accounts = Accounts([Account(number, entry, oauth, self.clock) for number, entry in entries], folders)
        self.stack.push_async_callback(accounts.aclose)
        if entries:
            await self.background(accounts.keep_fresh())
            self.metrics.watch("accounts_failing", "Published accounts without a token", lambda: len(accounts.failing))
            self.health.watch(accounts.troubles)
        return accounts

    async def grants(
        self,
        cloudreve: Cloudreve,
        tiers: Tiers,
        sharing: WorkSharing,
        feed: ChangeFeed,
        owners: ShareOwners,
    ) -> Grants:
        """Make the lookup of grants, which has them resolved."""
        settings = self.settings
        limit = self.fair_queue("resolve", settings.cloudreve.max_resolves, SLOW)
        deadline_s, changes = settings.server.deadline_s, feed.invalidations
        resolver = Resolver(cloudreve, sharing, limit, deadline_s, stamp=lambda: changes.stamp, tell=feed.tell)
        # Leaving while Cloudreve generates a thumbnail may lock the file for a day (docs/cloudreve.md, Generating).
        singleflight = await self.singleflight(Singleflight[Grant | Refusal](), self.leaving)
        terms = Terms(self.clock, times_of(settings))
        return Grants(tiers, resolver, terms, self.metrics, singleflight, sharing, feed, owners)

    async def pictures(self, images: Images, tiers: Tiers, sharing: WorkSharing) -> Pictures:
        """Make the lookup of pictures, which fetches them."""
        settings = self.settings
        limit = self.fair_queue("fetch", settings.cloudreve.max_fetches, SLOW)
        singleflight = await self.singleflight(Singleflight[None]())
        pictures = settings.pictures
        revalidation = Revalidation(pictures.recheck_s, pictures.stale_if_error_s, self.clock.timer)
        return Pictures(tiers, images, self.observer, singleflight, sharing, limit, pictures, revalidation)

    def encoders(self) -> Encoders:
        """Make the encoder processes."""
        settings = self.settings.pictures
        encoders = Encoders(self.fair_queue("encode", settings.encoders), settings, self.observer)
        self.stack.push_async_callback(encoders.aclose)
        return encoders

    async def variants(self, tiers: Tiers, encoders: Encoders, sharing: WorkSharing) -> Variants:
        """Make the variants."""
        singleflight = await self.singleflight(Singleflight[Picture | NoVariant](self.settings.cloudreve.max_waiting))
        return Variants(tiers, encoders, singleflight, sharing, self.metrics, self.settings.pictures)

    async def site_cors(self, way: UpstreamClient) -> SiteCors:
        """Make the copy of Cloudreve's permissions for scripts (CORS)."""
        singleflight = await self.singleflight(Singleflight[Fields](self.settings.cloudreve.max_waiting))
        return SiteCors(way, singleflight, self.clock.timer)

    async def session(self, **connector: Any) -> aiohttp.ClientSession:  # noqa: ANN401 - passed on as is
        """Make a way out. Its connections are not limited: how many calls are under way is decided in the steps."""
        return await self.stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=trust(self.settings.cloudreve.ca_file), **connector),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": "thumb-proxy"},
                request_class=WaryRequest,
                max_line_size=MAX_HEAD_BYTES,
                max_field_size=MAX_HEAD_BYTES,
            )
        )

    def fair_queue(self, name: str, slots: int, slow: int = 0) -> FairQueue:
        """Make a fair queue: a quarter of those that wait may be of one client, and less while others want to wait."""
        waiting = self.settings.cloudreve.max_waiting
        queue = FairQueue(slots, max(waiting // 4, 1), waiting, slow * slots, partial(self.metrics.waited, name))
        self.metrics.watch_queue(name, lambda: float(queue.waiting))
        return queue

    async def singleflight(self, singleflight: Singleflight[T], patience: Countdown | None = None) -> Singleflight[T]:
        """Register a singleflight to be closed at the end, and return it."""

        async def close() -> None:
            await singleflight.aclose(patience.remaining_s if patience is not None else 0.0)

        self.stack.push_async_callback(close)
        return singleflight

    async def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something until the end."""
        run_until_closed(work, self.stack)
