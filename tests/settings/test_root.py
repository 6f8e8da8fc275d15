"""The sections' values: those accepted, their form afterwards, and those that do not go together."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from proxy.settings import (
    KEYS,
    AdminSettings,
    CloudreveSettings,
    GrantSettings,
    RedisSettings,
    Section,
    ServerSettings,
    SessionSettings,
    Settings,
)

SITE = CloudreveSettings(url="http://127.0.0.1:5212")


def test_a_cloudreve_url_is_all_that_is_required() -> None:
    """Everything else has a default."""
    settings = Settings(cloudreve=SITE)
    assert settings.server.port == 8080
    assert settings.redis.url is None


def test_settings_made_directly_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `load` looks around; tests and other callers get what they hand over."""
    monkeypatch.setenv("THUMB_PROXY_SERVER__PORT", "1")
    assert Settings(cloudreve=SITE).server.port == 8080


def test_settings_cannot_be_changed() -> None:
    """They are checked once, so nobody may alter them afterwards."""
    settings = Settings(cloudreve=SITE)
    with pytest.raises(ValidationError):
        settings.server = ServerSettings()  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.server.port = 1  # type: ignore[misc]


def test_every_key_says_what_it_accepts() -> None:
    """The text is the second half of the message about a bad value."""
    assert [key for key, field in KEYS.items() if not field.description] == []


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("http://127.0.0.1:5212", "http://127.0.0.1:5212"),
        ("https://Cloud.Example.com:443/", "https://cloud.example.com"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://münchen.example", "https://xn--mnchen-3ya.example"),
    ],
)
def test_an_origin_is_kept_in_one_spelling(written: str, kept: str) -> None:
    """Comparisons need it; a trailing slash would double the one of the path."""
    assert CloudreveSettings(url=written).url == kept
    assert CloudreveSettings(url="http://x", public_origins=(written, kept)).public_origins == (kept,)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("cloud.example.com", "http:// or https://"),
        ("ftp://cloud.example.com", "http:// or https://"),
        ("https://cloud.example.com/drive", "nothing may follow"),
        ("https://cloud.example.com/?a", "nothing may follow"),
        ("https://cloud.example.com/?", "nothing may follow"),
        ("https://cloud.example.com#a", "nothing may follow"),
        ("https://me:pw@cloud.example.com", "user name or password"),
        ("https://", "names no host"),
        ("https://a b", "not valid"),
        ("https://a\n.com", "not valid"),
        ("https://a..com", "not valid"),
        ("https://cloud.example.com:0", "not valid"),
        ("https://cloud.example.com:70000", "no URL"),
        ("http://127.1", "no valid address"),
    ],
)
def test_a_text_that_is_no_origin_is_refused_with_the_reason(written: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        CloudreveSettings(url=written)
    with pytest.raises(ValidationError, match=reason):
        CloudreveSettings(url="http://x", public_origins=("http://y", written))


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Bucket.example.com", "bucket.example.com"),
        ("minio:9000", "minio:9000"),
        (".CDN.example.com", ".cdn.example.com"),
        ("10.0.0.7", "10.0.0.7"),
        ("[::1]:9000", "[::1]:9000"),
        ("münchen.example", "xn--mnchen-3ya.example"),
    ],
)
def test_an_image_host_is_kept_in_one_spelling(written: str, kept: str) -> None:
    assert CloudreveSettings(url="http://x", image_hosts=(written, kept)).image_hosts == (kept,)


@pytest.mark.parametrize(
    "written",
    [
        "https://a.com",
        "*.a.com",
        ".a.com:80",
        "a.com/x",
        "a.com?",
        "a.com#",
        "me@a.com",
        "a b",
        "",
        ".",
        "a.com:0",
        "1.2",
    ],
)
def test_a_text_that_is_no_image_host_is_refused(written: str) -> None:
    """It would never match, and somebody would wonder why."""
    with pytest.raises(ValidationError):
        CloudreveSettings(url="http://x", image_hosts=(written,))


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://localhost:6379/0",
        "rediss://user:p%40ss@cache.example.com:6380/1",
        "redis://:pw@[::1]:6379",
        "unix:///run/redis.sock",
        "unix://:pw@/run/redis.sock?db=2",
    ],
)
def test_a_redis_url_is_kept_as_a_secret(url: str) -> None:
    """It may hold a password, so that it must not be printed by accident."""
    settings = RedisSettings(url=SecretStr(url))
    assert settings.url is not None
    assert settings.url.get_secret_value() == url
    assert url not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "localhost:6379",
        "redis://",
        "redis://:pa/ss@localhost",
        "redis://:pa#ss@localhost",
        "redis://localhost:0",
        "redis://localhost/cache",
        "unix://",
        "unix:///run/redis.sock?db=x",
        "rediss://localhost?ssl_cert_reqs=never",
        "",
    ],
)
def test_a_text_that_is_no_redis_url_is_refused_without_showing_it(url: str) -> None:
    """The message must not hold the password either."""
    with pytest.raises(ValidationError) as caught:
        RedisSettings(url=SecretStr(url))
    assert not url or url not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost", "gateway-1.internal"])  # noqa: S104 - compared only
def test_a_host_to_listen_on_is_a_name_or_an_address(host: str) -> None:
    assert ServerSettings(host=host).host == host


@pytest.mark.parametrize("host", ["", "http://localhost", "localhost:8080", "[::1]", "a b", "*"])
def test_a_text_that_is_no_address_is_no_host_to_listen_on(host: str) -> None:
    """The message is better here than that of a failing bind."""
    with pytest.raises(ValidationError):
        ServerSettings(host=host)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (ServerSettings, "port", True),
        (ServerSettings, "port", 65536),
        (ServerSettings, "port", -1),
        (ServerSettings, "port", 80.5),
        (ServerSettings, "deadline_s", 0),
        (ServerSettings, "deadline_s", float("nan")),
        (ServerSettings, "deadline_s", float("inf")),
        (ServerSettings, "deadline_s", True),
        (ServerSettings, "deadline_s", "30s"),
        (RedisSettings, "namespace", "a b"),
        (RedisSettings, "namespace", ""),
        (CloudreveSettings, "secret_key", "  "),
        (GrantSettings, "margin_s", -1),
    ],
)
def test_numbers_and_names_have_bounds(section: type[Section], key: str, value: object) -> None:
    """Each would fail later, and in a worse place."""
    with pytest.raises(ValidationError) as caught:
        section.model_validate({"url": "http://x"} | {key: value} if section is CloudreveSettings else {key: value})
    assert [error["loc"] for error in caught.value.errors()] == [(key,)]


@pytest.mark.parametrize(
    ("sections", "keys"),
    [
        ({"grants": {"margin_s": 60, "max_ttl_s": 60}}, ("grants.margin_s", "grants.max_ttl_s")),
        ({"server": {"max_uri_bytes": 20000}}, ("server.max_uri_bytes", "server.max_header_bytes")),
        ({"redis": {"timeout_s": 30}}, ("redis.timeout_s", "server.deadline_s")),
        ({"server": {"port": 9090}}, ("server.port", "admin.port")),
        ({"sign_in": {"client_id": "app", "client_secret": "x"}}, ("sign_in.client_id", "server.public_origin")),
        ({"sign_in": {"client_secret": "x"}}, ("sign_in.client_id", "sign_in.client_secret")),
        ({"server": {"port": 7, "host": "::1"}, "admin": {"port": 7, "host": "::1"}}, ("server.port", "admin.port")),
    ],
)
def test_settings_that_do_not_go_together_are_refused(sections: dict[str, object], keys: tuple[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"cloudreve": {"url": "http://x"}} | sections)
    assert all(key in str(caught.value) for key in keys)


@pytest.mark.parametrize("path", ["/thumb", "/healthz", "/readyz", "/api/v4/file/thumb"])
def test_sessions_do_not_take_the_place_of_another_route(path: str) -> None:
    """A load balancer that asks for /healthz would be told that nobody is signed in."""
    with pytest.raises(ValidationError, match="serves something else"):
        SessionSettings(path=path)


def test_both_ports_may_be_equal_where_they_do_not_meet() -> None:
    apart = Settings(
        cloudreve=SITE, server=ServerSettings(host="10.0.0.1", port=80), admin=AdminSettings(host="10.0.0.2", port=80)
    )
    free = Settings(cloudreve=SITE, server=ServerSettings(port=0), admin=AdminSettings(port=0))
    assert apart.server.port == apart.admin.port
    assert free.server.port == free.admin.port


def test_sites_with_one_internal_address_are_told_apart_by_their_public_ones() -> None:
    """Ids and File URIs of the one mean something else at the other, and both may share a Redis."""
    one, other = (
        Settings(cloudreve=SITE),
        Settings(cloudreve=SITE, server=ServerSettings(public_origin="http://b.example")),
    )
    public = [
        Settings(cloudreve=CloudreveSettings(url=SITE.url, public_origins=origins))
        for origins in (("https://a.example",), ("https://b.example", "https://a.example"))
    ]
    turned = CloudreveSettings(url=SITE.url, public_origins=("https://a.example", "https://b.example"))
    assert len({settings.site for settings in (one, other, *public)}) == 4
    assert Settings(cloudreve=turned).site == public[1].site


@pytest.mark.parametrize(
    "table",
    [
        {"max_subscriptions": 8, "email": "watch@example.com"},
        {"max_subscriptions": 8, "secret": "a", "secret_file": __file__},
        {"max_subscriptions": 0, "secret": "a"},
        {"max_subscriptions": -1},
    ],
)
def test_an_account_that_is_to_listen_has_one_secret(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"cloudreve": {"url": SITE.url}, "watch": table})
    assert not Settings(cloudreve=SITE).watch.has_account
