"""A Redis URL, read: one server, Sentinels that name one, or a cluster. No message here holds any part of the URL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

ACCEPTED = (
    "redis://[user:password@]host[:port][/db], the same with rediss://, unix:///socket[?db=0], "
    "redis+sentinel://[user:password@]host[:port][,host[:port]...]/service[/db] "
    "or redis+cluster://[user:password@]host[:port][,host[:port]...]"
)

_AUTHORITY = re.compile(r"([^:/?#]+://)([^/?#]*)(.*)", re.DOTALL)
_TLS_OPTIONS = frozenset(
    {
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
)
_VALUES = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_min_version": ("771", "772", "770", "769"),  # TLS 1.2, 1.3, 1.1, 1.0
}
"""Options of which redis-py takes a few values alone."""

_DATABASE = frozenset({"db"})
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})


class RedisKind(StrEnum):
    """The kinds of Redis that a URL can name."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class _Scheme:
    """The meaning of a scheme, and the options of a URL's query; redis-py takes an unknown option in silence."""

    kind: RedisKind
    plain: str
    options: frozenset[str]
    port: int = 6379


_SCHEMES = {
    "redis": _Scheme(RedisKind.SERVER, "redis", _DATABASE),
    "rediss": _Scheme(RedisKind.SERVER, "rediss", _DATABASE | _TLS_OPTIONS),
    "unix": _Scheme(RedisKind.SERVER, "unix", _DATABASE | {"username", "password"}),
    "redis+sentinel": _Scheme(RedisKind.SENTINEL, "redis", _SENTINEL_OPTIONS, 26379),
    "rediss+sentinel": _Scheme(RedisKind.SENTINEL, "rediss", _SENTINEL_OPTIONS | _TLS_OPTIONS, 26379),
    "redis+cluster": _Scheme(RedisKind.CLUSTER, "redis", frozenset()),
    "rediss+cluster": _Scheme(RedisKind.CLUSTER, "rediss", _TLS_OPTIONS),
}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is."""

    kind: RedisKind
    url: str = field(repr=False)
    """As redis-py takes it, for one server; of Sentinels and of a cluster it carries what is alike for every server."""
    hosts: tuple[tuple[str, int], ...]
    """The server, the Sentinels, or some of the cluster; none for a socket."""
    service: str = ""
    """The name by which Sentinels know the server."""
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)


def read_redis_url(text: str) -> RedisAddress:
    """Read a URL; raise ValueError, which says what is wrong with it, for what nothing could be done with."""
    parts = _split(text)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not text.partition(":")[2].startswith("//"):
        raise ValueError(f"it does not start with {', '.join(f'{name}://' for name in _SCHEMES)}")
    options = _options(parts, scheme.options)
    if scheme.plain == "unix":
        return RedisAddress(scheme.kind, _socket(text, parts, options), ())
    hosts = _hosts(parts, scheme)
    service, path = _way(parts.path, scheme.kind)
    _check_database(path or options.get("db", ""))
    query = "&".join(part for part in parts.query.split("&") if not part.startswith("sentinel_"))
    host, port = hosts[0]
    user, at, _ = parts.netloc.rpartition("@")
    name = f"[{host}]" if ":" in host else host
    url = f"{scheme.plain}://{user}{at}{name}:{port}/{path}" + (f"?{query}" if query else "")
    return RedisAddress(
        scheme.kind, url, hosts, service, options.get("sentinel_username"), options.get("sentinel_password")
    )


def _split(text: str) -> SplitResult:
    """Split a URL; by hand where its hosts stand, since newer Pythons take no IPv6 address behind another host."""
    found = _AUTHORITY.fullmatch(text)
    try:
        return urlsplit(found[1] + found[3])._replace(netloc=found[2]) if found else urlsplit(text)
    except ValueError:
        raise ValueError("it is no URL; a password's special characters have to be percent-encoded") from None


def _options(parts: SplitResult, known: frozenset[str]) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not known.issuperset(options):
        raise ValueError(f"it has an unknown option; {parts.scheme}:// takes {', '.join(sorted(known)) or 'none'}")
    for name, values in _VALUES.items():
        if options.get(name, values[0]) not in values:
            raise ValueError(f"its {name} is none of {', '.join(values)}")
    return options


def _socket(text: str, parts: SplitResult, options: dict[str, str]) -> str:
    if not parts.path.strip("/") or parts.fragment:
        raise ValueError("it names no socket")
    _check_database(options.get("db", ""))
    return text


def _hosts(parts: SplitResult, scheme: _Scheme) -> tuple[tuple[str, int], ...]:
    try:
        split = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
        hosts = tuple((host.hostname or "", scheme.port if host.port is None else host.port) for host in split)
    except ValueError:
        hosts = ()
    if not parts.netloc:
        raise ValueError("it names no host")
    if not hosts or parts.fragment or not all(name and port for name, port in hosts):
        raise ValueError(
            "it names no host, or no number as port; a password's special characters have to be percent-encoded"
        )
    if scheme.kind is RedisKind.SERVER and len(hosts) > 1:
        raise ValueError("it names several hosts; that takes redis+sentinel:// or redis+cluster://")
    return hosts


def _way(path: str, kind: RedisKind) -> tuple[str, str]:
    """Take the service and the database out of a path."""
    if kind is RedisKind.SENTINEL:
        service, _, database = path.strip("/").partition("/")
        if not service:
            raise ValueError("it names no service, which Sentinels know the server by")
        return unquote(service), database
    if kind is RedisKind.CLUSTER and path.strip("/"):
        raise ValueError("it names a database, and a cluster has only one")
    return "", path.strip("/")


def _check_database(text: str) -> None:
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError("its database is no number")
