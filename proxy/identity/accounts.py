"""The accounts whose eyes the public may use: signed in, kept fresh, and watched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from proxy.coalesce.singleflight import Singleflight
from proxy.domain.credentials import Credentials
from proxy.domain.errors import CORRECT_ACCOUNT, AccountFailed, ProxyError
from proxy.domain.file_uri import FileUri
from proxy.domain.identity import Identity, IdentityKind
from proxy.domain.visitor import Visitor
from proxy.identity.claims import read_claims
from proxy.identity.published import PublishedFolder, account_for
from proxy.settings import AccountSettings
from proxy.upstream.clock import Clock
from proxy.upstream.oauth import OAuth
from proxy.upstream.token_answers import Tokens

FRESH_S = 60.0
"""How long before its end a token is renewed; a fifth of its life where that is less."""
RETRY_S = 10.0
"""How long an account that has failed is left alone: Cloudreve counts failed sign-ins."""

_log = structlog.get_logger("proxy.identity.accounts")


class Account:
    """One account of the configuration."""

    def __init__(self, number: int, settings: AccountSettings, oauth: OAuth, clock: Clock) -> None:
        self.number = number
        self._settings = settings
        self._oauth = oauth
        self._clock = clock
        self._singleflight: Singleflight[None] = Singleflight(1)
        self._refresh = "" if settings.email else settings.secret_text
        self._visitor: Visitor | None = None
        self._due_at = 0.0
        self._ends_at = 0.0
        self._failed_until = 0.0
        self.reason = "it has not signed in yet"
        """Why there is no token, where there is none."""

    @property
    def is_up(self) -> bool:
        """Whether there is a token that Cloudreve takes."""
        return self._visitor is not None and self._clock.now() < self._ends_at

    @property
    def subject(self) -> str:
        """Give the user that it is, by id; empty before it has signed in for the first time."""
        return self._visitor.identity.subject if self._visitor is not None else ""

    @property
    def pause_s(self) -> float:
        """How long nothing needs to be done."""
        wanted_at = self._due_at if self.is_up else 0.0
        return max(wanted_at, self._failed_until) - self._clock.now()

    async def visitor(self) -> Visitor:
        """Give the account as a visitor; raise AccountFailed when it cannot sign in."""
        if self._clock.now() >= self._due_at:
            await self.renew()
        if self._visitor is None or not self.is_up:
            raise AccountFailed("The account behind this folder cannot sign in at the moment.")
        return self._visitor

    async def renew(self) -> None:
        """Get a new token, in one flight, unless that has just failed."""
        if self._clock.now() >= self._failed_until:
            flight, _ = self._singleflight.join("", self._sign_in)
            await flight

    async def aclose(self) -> None:
        """End what is under way."""
        await self._singleflight.aclose()

    async def _sign_in(self) -> None:
        reason = f"Cloudreve does not accept the {'email and password' if self._settings.email else 'refresh token'}"
        try:
            tokens = await self._tokens()
        except ProxyError as error:
            tokens, reason = None, error.title
        except (OSError, UnicodeDecodeError):  # the secret is read anew each time, so that it can be replaced
            tokens, reason = None, "secret_file cannot be read"
        if tokens is None or not self._take(tokens):
            self._failed_until, self.reason = self._clock.now() + RETRY_S, reason
            _log.warning(
                "account failed", account=self.number + 1, is_up=self.is_up, reason=reason, advice=CORRECT_ACCOUNT
            )

    async def _tokens(self) -> Tokens | None:
        tokens = await self._oauth.refresh(self._refresh) if self._refresh else None
        if tokens is None and self._settings.email:
            tokens = await self._oauth.sign_in(self._settings.email, self._settings.secret_text)
        return tokens

    def _take(self, tokens: Tokens) -> bool:
        claims = read_claims(tokens.access)
        if claims is None:
            return False
        identity = Identity(IdentityKind.ACCOUNT, claims.subject, claims.client, claims.scopes)
        now = self._clock.now()
        self._visitor = Visitor(identity, Credentials(tokens.access), claims.expires)
        self._ends_at = claims.expires
        self._due_at = claims.expires - min(FRESH_S, (claims.expires - now) / 5)
        self._refresh = tokens.refresh or self._refresh
        return True


class Accounts:
    """All of them, and what each has published."""

    def __init__(self, accounts: Sequence[Account], folders: Sequence[PublishedFolder]) -> None:
        self._accounts = accounts
        self._folders = folders

    @property
    def failing(self) -> list[int]:
        """The accounts, by their place in the configuration, that cannot show anything at the moment."""
        return [account.number for account in self._accounts if not account.is_up]

    def troubles(self) -> list[str]:
        """Tell which of them fail, and why."""
        failing = (account for account in self._accounts if not account.is_up)
        return [f"publish {each.number + 1} fails: {each.reason} ({CORRECT_ACCOUNT})" for each in failing]

    def subject(self, number: int) -> str:
        """Give the user that an account is, by id; empty before it has signed in for the first time."""
        return self._accounts[number].subject

    async def visitor(self, number: int) -> Visitor:
        """Give an account by its place in the configuration; raise AccountFailed when it is not well."""
        return await self._accounts[number].visitor()

    async def visitor_for(self, uri: FileUri) -> Visitor | None:
        """Give the account that has published a URI; None when nobody has. Raise AccountFailed when it is not well."""
        number = account_for(uri, self._folders)
        return None if number is None else await self._accounts[number].visitor()

    async def keep_fresh(self) -> None:
        """Renew every account's token before it runs out, for ever."""
        await asyncio.gather(*(self._keep(account) for account in self._accounts))

    async def aclose(self) -> None:
        """End what is under way."""
        await asyncio.gather(*(account.aclose() for account in self._accounts))

    async def _keep(self, account: Account) -> None:
        while True:
            await account.renew()
            await asyncio.sleep(max(account.pause_s, 1.0))
