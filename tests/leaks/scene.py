"""The stage: a Cloudreve whose grants are witnessed, two replicas of a gateway, a real Redis, and time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Self

import msgspec

from proxy.pictures.encode import Quality, encode, look
from proxy.pictures.encoder_process import Job, LookJob
from proxy.pictures.encoders import EncodeFailed, Encoders
from proxy.standin.calls import Verb
from proxy.standin.faults import Reset
from proxy.standin.library import PASSWORD, Account
from proxy.standin.site import OAuthClient
from proxy.standin.standin import StandIn
from proxy.upstream.clock import Clock
from tests.harness.gateways import GatewayClient, Hours, gateway_of
from tests.harness.redis_server import RedisServer
from tests.leaks.cards import Cards
from tests.leaks.wire import Reply, Wire
from tests.leaks.witness import Witness

HERE = "http://thumbs.example.com"
"""Where visitors believe to be: what the stand-in has registered."""
PUBLISHED = "/pub"
SHARE_PASSWORDS = ("open-sesame-4711", "open-sesame-4712")
TICKETS = ("ticket-of-one-4713", "ticket-of-other-4714")
PATHS = ("/pub/a.png", "/secret/b.png", "/album/c.png", "/album/d.png", "/pub-not/e.png")
MAX_PIXELS = 10_000
LANES = 3
"""How many connections a visitor has to each replica for asking."""
ASIDE = LANES
"""One more, for what is no mere question: on one that has heard it a gateway remembers nothing any more."""
CLIENT = {"client_id": "stand-in-client", "client_secret": "stand-in-client-secret"}


async def encoded_here(_: Encoders, raw: bytes) -> bytes:
    """Do an encoder process' work in this one: to start processes for each replica would take minutes."""
    job = msgspec.msgpack.decode(raw, type=Job)
    try:
        if isinstance(job, LookJob):
            return msgspec.msgpack.encode(look(job.body, MAX_PIXELS))
        return encode(job.body, job.variant, Quality(), MAX_PIXELS)
    except Exception as error:
        raise EncodeFailed(type(error).__name__) from error


class Cloudreve(StandIn):
    """A stand-in that tells from which sign-ins its refresh tokens come."""

    def __init__(self) -> None:
        super().__init__(size=(8, 6))
        self.roots: list[str] = []

    def issue(
        self,
        account: Account,
        kind: str,
        life_s: float,
        client: str = "",
        scopes: tuple[str, ...] = (),
        root: str = "",
    ) -> str:
        """Sign a token."""
        self.roots += [root] if root else []
        return super().issue(account, kind, life_s, client, scopes, root)


class Terms(NamedTuple):
    """The constants of one play."""

    checks_here: bool = False
    """Whether the gateways check tokens by the site's own key."""
    renews: bool = False
    bridge_s: float = 0.0
    """For how long the second replica honours grants while Cloudreve is away."""
    is_small: bool = False
    """Whether memory holds next to nothing."""
    is_foreign: bool = False
    """Whether pictures are on another host, where their bytes may change."""
    has_etags: bool = True
    """Whether that host gives them validators."""


class Replica:
    """One gateway, which may be exchanged for another that knows nothing."""

    def __init__(self, cloudreve: StandIn, hours: Hours, sections: dict[str, Any]) -> None:
        self._cloudreve = cloudreve
        self._hours = hours
        self._sections = sections
        self.bridge_s: float = sections["grants"]["stale_if_error_s"]
        self._stack = AsyncExitStack()
        self.generation = 0
        self.gateway: GatewayClient
        self.wires: tuple[Wire, ...]

    @property
    def hears_redis(self) -> bool:
        """Tell whether it relies on Redis at the moment."""
        return self.gateway.count("redis_up") == 1

    async def exchange(self) -> None:
        """Put a new one in its place."""
        await self.close()
        await self.open()

    async def open(self) -> None:
        """Start it."""
        clock = Clock(self._hours.now, self._hours.timer)
        gateway = gateway_of(self._cloudreve.own_url, clock, **self._sections)
        self.gateway = await self._stack.enter_async_context(gateway)
        self.wires = tuple(Wire(self.gateway.running.port) for _ in range(LANES + 1))
        self.generation += 1

    async def close(self) -> None:
        """Let it leave."""
        for wire in self.wires:
            await wire.close()
        await self._stack.aclose()

    async def say(self, pieces: Sequence[bytes], heads: Sequence[bool], lane: int = 0) -> list[Reply]:
        """Send bytes on one of the visitor's connections."""
        return await self.wires[lane].say(pieces, heads)


class Scene:
    """Everything that can be acted on."""

    def __init__(self, redis: RedisServer, terms: Terms) -> None:
        self.redis = redis
        self.terms = terms
        self.cloudreve = Cloudreve()
        self.cloudreve.client = OAuthClient(redirect_uri=f"{HERE}/session/callback")
        self.cloudreve.foreign = terms.is_foreign
        self.cloudreve.foreign_etags = terms.has_etags
        self.hours = Hours(self.cloudreve)
        self.witness = Witness(self.cloudreve)
        self.cards = Cards(self.cloudreve)
        self.replicas = [
            Replica(self.cloudreve, self.hours, self._sections(bridge)) for bridge in (0.0, terms.bridge_s)
        ]
        self.is_out = False
        """Whether Cloudreve's API is away."""
        self._has_redis = True
        library = self.cloudreve.library
        for account in library.accounts:
            for path in PATHS:
                self.cards.put(account, path)
        self.shares = [
            library.publish(library.alice, "/album"),
            library.publish(library.alice, "/album", password=SHARE_PASSWORDS[0]),
            library.publish(library.bob, "/album", ticket=TICKETS[0]),
            library.publish(library.alice, "/secret/b.png", password=SHARE_PASSWORDS[0], ticket=TICKETS[0]),
            library.publish(library.bob, "/album"),
        ]
        self.shares[-1].members_only = True

    async def __aenter__(self) -> Self:
        await self.cloudreve.start()
        for replica in self.replicas:
            await replica.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.start_redis()
        for replica in self.replicas:
            await replica.close()
        await self.cloudreve.stop()

    @property
    def now(self) -> float:
        """Tell the time, which is the same everywhere."""
        return self.hours.now()

    @property
    def accounts(self) -> tuple[Account, ...]:
        """List who has an account."""
        return self.cloudreve.library.accounts

    async def metrics(self) -> list[bytes]:
        """Read what operators see."""
        gateways = [replica.gateway for replica in self.replicas]
        return [(await gateway.send("GET", f"{gateway.admin}/metrics")).body for gateway in gateways]

    def be_out(self, *, is_out: bool) -> None:
        """Let Cloudreve's API break every connection, or answer again."""
        self.is_out = is_out
        self.cloudreve.mend()
        verbs: tuple[Verb, ...] = ("resolve", "whoami", "refresh")
        for verb in verbs if is_out else ():
            self.cloudreve.fail(verb, Reset())

    def flush_redis(self) -> None:
        """Empty it."""
        if self._has_redis:
            self.redis.command("FLUSHALL")

    def kill_redis(self) -> None:
        """End it, with all that it held."""
        self.redis.kill()
        self._has_redis = False

    def start_redis(self) -> None:
        """Start it, where it is away."""
        if not self._has_redis:
            self.redis.start()
            self._has_redis = True

    def _sections(self, bridge_s: float) -> dict[str, Any]:
        grants: dict[str, Any] = {"stale_if_error_s": bridge_s} | ({"renew_s": 60.0} if self.terms.renews else {})
        return {
            "server": {"public_origin": HERE},
            "redis": {"url": self.redis.url, "timeout_s": 5.0, "pause_s": 0.05},
            "seal": {"keys": ["0123456789abcdef" * 2]},
            "sign_in": CLIENT,
            "publish": [{"prefix": "cloudreve://my/pub", "email": "alice@example.org", "secret": PASSWORD}],
            "cloudreve": {
                "image_hosts": ["127.0.0.1"],
                "probe_s": 0.02,
                "secret_key": self.cloudreve.secret if self.terms.checks_here else None,
            },
            "grants": grants,
            "pictures": {"formats": ["avif", "webp"], "info_wait_s": 5.0},
            "memory": {"max_bytes": 20_000} if self.terms.is_small else {},
        }
