"""Redis URLs: of one server, of Sentinels, of a cluster."""

from __future__ import annotations

import pytest

from proxy.settings.redis_url import RedisAddress, RedisKind, read_redis_url

SERVER, SENTINEL, CLUSTER = RedisKind.SERVER, RedisKind.SENTINEL, RedisKind.CLUSTER


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://cache", RedisAddress(SERVER, "redis://cache:6379/", (("cache", 6379),))),
        ("redis://u:p%40@cache:1/2", RedisAddress(SERVER, "redis://u:p%40@cache:1/2", (("cache", 1),))),
        ("redis://[::1]?db=3", RedisAddress(SERVER, "redis://[::1]:6379/?db=3", (("::1", 6379),))),
        (
            "rediss://cache/1?ssl_ca_certs=/ca.pem",
            RedisAddress(SERVER, "rediss://cache:6379/1?ssl_ca_certs=/ca.pem", (("cache", 6379),)),
        ),
        ("unix:///run/r.sock?db=1", RedisAddress(SERVER, "unix:///run/r.sock?db=1", ())),
        (
            "redis+sentinel://one,two:1,[::1]/thumbs",
            RedisAddress(SENTINEL, "redis://one:26379/", (("one", 26379), ("two", 1), ("::1", 26379)), "thumbs"),
        ),
        (
            "rediss+sentinel://u:p@one/a%20b/5?sentinel_username=s&sentinel_password=p%40&ssl_cert_reqs=required",
            RedisAddress(
                SENTINEL, "rediss://u:p@one:26379/5?ssl_cert_reqs=required", (("one", 26379),), "a b", "s", "p@"
            ),
        ),
        (
            "redis+cluster://:p@one:7000,two:7001/",
            RedisAddress(CLUSTER, "redis://:p@one:7000/", (("one", 7000), ("two", 7001))),
        ),
        ("rediss+cluster://one", RedisAddress(CLUSTER, "rediss://one:6379/", (("one", 6379),))),
    ],
)
def test_each_kind_is_read(url: str, place: RedisAddress) -> None:
    """Ports have defaults, and redis-py gets a URL of one server."""
    assert read_redis_url(url) == place


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("cache:6379", "does not start with redis://"),
        ("http://cache", "does not start with redis://"),
        ("redis:cache", "does not start with redis://"),
        ("redis://[::1", "names no host"),
        ("redis://", "names no host"),
        ("redis://:pa#ss@cache", "percent-encoded"),
        ("redis://one,two", "several hosts"),
        ("redis+sentinel://one", "names no service"),
        ("redis+sentinel://one/thumbs/x", "database is no number"),
        ("redis+sentinel://one/thumbs/1/2", "database is no number"),
        ("redis+cluster://one/1", "a cluster has only one"),
        ("redis+cluster://one?sentinel_password=x", "takes none"),
        ("redis+sentinel://one/thumbs?db=1", "takes sentinel_password, sentinel_username"),
    ],
)
def test_options_that_cannot_be_meant_are_named(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_redis_url(url)
