"""The redis-py client as this gateway wants it: short timeouts, no retries, RESP2, a pool that waits its turn."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from proxy.settings import RedisSettings

ACCEPTED = "redis://[user:password@]host[:port][/db], the same with rediss://, or unix:///socket[?db=0]"

_OPTIONS = {
    "redis": frozenset({"db"}),
    "rediss": frozenset(
        {
            "db",
            "ssl_ca_certs",
            "ssl_ca_path",
            "ssl_cert_reqs",
            "ssl_certfile",
            "ssl_check_hostname",
            "ssl_ciphers",
            "ssl_keyfile",
            "ssl_min_version",
            "ssl_password",
        }
    ),
    "unix": frozenset({"db", "username", "password"}),
}
"""What a URL's query may set. Timeouts are the settings' business, and redis-py takes an unknown option in silence."""


def connect(url: SecretStr, settings: RedisSettings) -> Redis:
    """Build a client, which connects when first used; raise ValueError for a URL that it cannot use.

    RESP3 is not used: with it redis-py listens for maintenance notices, and for their sake no longer checks that a
    connection from the pool has no unread reply on it, which is the last line of defence against handing one request's
    reply to another. RESP2 needs no greeting either, so that a new connection costs no round trip.
    """
    _check(url)
    try:
        pool = BlockingConnectionPool.from_url(
            url.get_secret_value(),
            max_connections=settings.max_connections,
            timeout=settings.timeout_s / 2,
            socket_timeout=settings.timeout_s,
            socket_connect_timeout=settings.timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        pool.make_connection()  # type: ignore[no-untyped-call]  # connects nothing, but reads the options
    except (ValueError, TypeError, RedisError):  # their messages may quote the URL
        raise ValueError(f"redis.url has an option that cannot be used; accepted is {ACCEPTED}") from None
    return Redis.from_pool(pool)


def _check(url: SecretStr) -> None:
    """Raise ValueError, with nothing of the URL in its message, for what redis-py would misread or take in silence."""
    try:
        parts = urlsplit(url.get_secret_value())
        usable = parts.scheme in _OPTIONS and parts.port != 0 and _has_place(parts) and not parts.fragment
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"redis.url is no address of a Redis; accepted is {ACCEPTED}")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS[parts.scheme]:
            raise ValueError(
                f"redis.url has an unknown option; {parts.scheme}:// takes {sorted(_OPTIONS[parts.scheme])}"
            )


def _has_place(parts: SplitResult) -> bool:
    if parts.scheme == "unix":
        return bool(parts.path.strip("/"))
    database = parts.path.strip("/")
    return bool(parts.hostname) and (not database or (database.isascii() and database.isdigit()))
