"""Builds what listens to Cloudreve's live events."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain

from proxy.background_tasks import BackgroundTasks
from proxy.domain.file_uri import FileUri, parse
from proxy.domain.tags import Tag
from proxy.grants.found_grant import Authorised
from proxy.identity.accounts import Account, Accounts
from proxy.live_events.arrivals import Arrivals
from proxy.live_events.client_ids import ClientIds
from proxy.live_events.confirmation import Bearer, Confirmation
from proxy.live_events.interest import MY, Interest, Root
from proxy.live_events.recent_grants import RecentGrants
from proxy.live_events.share_terms import ShareTerms
from proxy.live_events.subscription import State, SubscriptionContext
from proxy.live_events.watched_folder import WatchedFolder
from proxy.live_events.watcher import Wanted, Watcher
from proxy.settings import MAX_FOLDER_BYTES, PublishSettings, Settings
from proxy.upstream.event_streams import EventStreams
from proxy.upstream.oauth import OAuth
from proxy.wiring.core import Core
from proxy.wiring.parts import Parts


@dataclass(frozen=True, slots=True)
class PublishedFolders:
    """The folders that are published, as their accounts see them."""

    entries: tuple[PublishSettings, ...]
    accounts: Accounts

    def __call__(self) -> Iterator[Wanted]:
        """Give the folders of the accounts that have signed in.

        All files of such an account are listened to as well: the folder itself may be moved, renamed or deleted, which
        is told to those alone who listen to a folder above it.
        """
        known = [(n, subject) for n in range(len(self.entries)) if (subject := self.accounts.subject(n))]
        for number, subject in known:
            yield self._wanted(number, subject, parse(self.entries[number].prefix, MAX_FOLDER_BYTES))
        for number, subject in known:
            if parse(self.entries[number].prefix, MAX_FOLDER_BYTES).filesystem == "my":
                yield self._wanted(number, subject, MY)

    def _wanted(self, number: int, subject: str, folder: FileUri) -> Wanted:
        return Wanted(WatchedFolder(folder, subject), _account_bearer(self.accounts, number), f"publish {number + 1}")


@dataclass(frozen=True, slots=True)
class WantedRoots:
    """Folders that visitors ask for: the files of those who are signed in, and with an account for it, shares."""

    interest: Interest
    account: Accounts | None

    def __call__(self, most: int) -> Iterator[Wanted]:
        """Give the hottest."""
        watcher = self.account.subject(0) if self.account is not None else ""
        for root in self.interest.roots(most):
            put_off = partial(self.interest.put_off, root)
            if root.subject:
                yield Wanted(WatchedFolder(root.uri, root.subject), _bearer_of(root), put_off=put_off)
            elif self.account is not None and watcher:
                yield Wanted(WatchedFolder(root.uri, watcher), _account_bearer(self.account, 0), put_off=put_off)


def _bearer_of(root: Root) -> Bearer:
    async def bearer() -> str:
        return root.bearer

    return bearer


def _account_bearer(accounts: Accounts, number: int) -> Bearer:
    async def bearer() -> str:
        return (await accounts.visitor(number)).credentials.bearer or ""

    return bearer


def arrivals_of(settings: Settings) -> Arrivals:
    """Make the queue of folders that wait to be warmed."""
    return Arrivals([parse(entry.prefix, MAX_FOLDER_BYTES) for entry in settings.publish if entry.warm])


@dataclass(frozen=True, slots=True)
class Listening:
    """The watcher of folders, and the functions that tell it which files are asked for."""

    watcher: Watcher
    heed: tuple[Callable[[Authorised], None], ...]
    """Take note of a granted request; none while no subscription is allowed."""
    touch: Callable[[Collection[Tag]], None]
    """Take note of an answer that was given again, by its tags."""


async def listening_of(parts: Parts, core: Core, arrivals: Arrivals) -> Listening:
    """Make the watcher of the folders that are worth it, and show its state to operators."""
    settings, context = parts.settings, await _subscription_context(parts, core, arrivals)
    has_ended, hears_shares = core.feed.invalidations.session_has_ended, settings.watch.has_account
    interest = Interest(parts.clock.timer, context.lasts_s, has_ended, hears_shares=hears_shares)
    roots = WantedRoots(interest, await _account(parts, core.oauth))
    published = PublishedFolders(settings.publish, core.accounts)
    watcher = Watcher(lambda most: chain(published(), roots(most)), context, settings.watch.max_subscriptions)
    _show(parts, watcher)
    heed = (interest.note, context.recent.note) if settings.watch.max_subscriptions else ()
    return Listening(watcher, heed, interest.touch)


async def _subscription_context(parts: Parts, core: Core, arrivals: Arrivals) -> SubscriptionContext:
    """Make the objects that all subscriptions share. A connection is one stream's alone: it ends by half-closing it."""
    session = await parts.session(force_close=True)
    streams = EventStreams(session, parts.observer, parts.settings.cloudreve, core.cloudreve.breaker)
    calls = BackgroundTasks()
    parts.stack.push_async_callback(lambda: calls.aclose(parts.leaving.remaining_s))
    terms, lasts_s = ShareTerms(core.cloudreve, core.feed), parts.settings.grants.max_ttl_s
    notes, sharing, feed, owners = core.stores.shared_values, core.stores.sharing, core.feed, core.owners
    recent = RecentGrants(notes, lasts_s, owners.known, hears_shares=parts.settings.watch.has_account)
    confirmation, client_ids = Confirmation(core.cloudreve, recent, feed, calls), ClientIds(notes, lasts_s)
    return SubscriptionContext(
        streams, sharing, client_ids, feed, owners, terms, recent, confirmation, lasts_s, arrivals.note
    )


def _show(parts: Parts, watcher: Watcher) -> None:
    """Show operators the numbers of folders and events, and name the folders that are not heard."""
    metrics, count = parts.metrics, watcher.count
    metrics.watch("watch_folders", "Folders whose changes at Cloudreve are to be heard", lambda: watcher.folders)
    metrics.watch("watch_live", "Of these, those that are heard here", lambda: watcher.number(State.LIVE))
    metrics.watch("watch_failing", "Of these, those that cannot be heard", lambda: watcher.number(State.FAILING))
    metrics.watch_total("watch_events", "Live events heard", lambda: count.events)
    metrics.watch_total("watch_breaks", "Streams of live events that have broken", lambda: count.breaks)
    metrics.watch_total("watch_gaps", "Times that all grants of a folder were ended", lambda: count.gaps)
    metrics.watch_total("watch_confirmed", "Pictures that were the same afterwards", lambda: count.confirmed)
    parts.health.watch(watcher.troubles)


async def _account(parts: Parts, oauth: OAuth) -> Accounts | None:
    """Make the account in whose name shares are listened to, and keep it fresh; None where there is none."""
    watch = parts.settings.watch
    if not watch.has_account:
        return None
    account = Accounts([Account(0, watch, oauth, parts.clock)], [])
    parts.stack.push_async_callback(account.aclose)
    await parts.background(account.keep_fresh())
    parts.health.watch(lambda: ["watch fails: no token"] if account.failing else [])
    return account


async def watch(parts: Parts, watcher: Watcher) -> None:
    """Listen until the end."""
    if parts.settings.watch.max_subscriptions:
        await parts.background(watcher.context.recent.follow())
        parts.stack.push_async_callback(watcher.aclose)
        await parts.background(watcher.follow())
