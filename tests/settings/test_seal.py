"""The settings behind sealed URLs: keys that cannot be guessed and are never shown, and whom to believe."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.settings import SealSettings, ServerSettings
from proxy.settings.sources import ConfigError, load

URL = "THUMB_PROXY_CLOUDREVE__URL"
KEYS = "THUMB_PROXY_SEAL__KEYS"
LONG, LONGER = "0123456789abcdef" * 2, "fedcba9876543210" * 3


@pytest.fixture(autouse=True)
def _site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "http://127.0.0.1:5212")


@pytest.mark.parametrize("written", [f'["{LONG}", "{LONGER}"]', f"{LONG},{LONGER}", f"{LONG}\n{LONGER}\n"])
def test_keys_are_a_list_in_the_order_written(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv(KEYS, written)
    assert [key.get_secret_value() for key in load().seal.keys] == [LONG, LONGER]


def test_keys_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "seal__keys").write_text(f"{LONG}\n")
    monkeypatch.setenv("THUMB_PROXY_SECRETS_DIR", str(tmp_path))
    assert [key.get_secret_value() for key in load().seal.keys] == [LONG]


@pytest.mark.parametrize("written", ["short-and-guessable", f"{LONG},short-and-guessable", '["short-and-guessable"]'])
def test_a_short_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    """The message says how long it has to be."""
    monkeypatch.setenv(KEYS, written)
    with pytest.raises(ConfigError) as caught:
        load()
    text = str(caught.value)
    assert "seal.keys" in text
    assert "32 characters or more" in text
    assert KEYS in text
    assert "guessable" not in text
    assert LONG not in text


def test_keys_are_not_shown_by_printing_them() -> None:
    assert LONG not in repr(SealSettings.model_validate({"keys": [LONG]}))


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (["127.0.0.1"], ("127.0.0.1/32",)),
        (["10.0.0.0/8", "fd00::/8", "10.0.0.0/8"], ("10.0.0.0/8", "fd00::/8")),
        ("10.0.0.1, ::1", ("10.0.0.1/32", "::1/128")),
        ([], ()),
    ],
)
def test_trusted_proxies_are_addresses_and_networks(written: object, kept: tuple[str, ...]) -> None:
    assert ServerSettings.model_validate({"trusted_proxies": written}).trusted_proxies == kept


@pytest.mark.parametrize(
    ("written", "reason"),
    [("nginx", "is no network"), ("10.0.0.1/8", "bits are set"), ("10.0.0.0/33", "is no network"), ("*", "no network")],
)
def test_a_text_that_is_no_network_is_refused_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, written: str, reason: str
) -> None:
    """Names could not be compared with addresses, and everybody is not to be trusted by accident."""
    monkeypatch.setenv("THUMB_PROXY_SERVER__TRUSTED_PROXIES", f'["{written}"]')
    with pytest.raises(ConfigError, match=reason) as caught:
        load()
    assert written in str(caught.value)


def test_a_public_origin_is_kept_in_one_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    """URLs are put together with it; a trailing slash would break them. It may have a path, and nothing behind."""
    for written, kept in (
        ("https://Cloud.Example.com:443/", "https://cloud.example.com"),
        ("https://Cloud.Example.com/Drive/", "https://cloud.example.com/Drive"),
        ("https://cloud.example.com/a/b-c_d.e", "https://cloud.example.com/a/b-c_d.e"),
    ):
        monkeypatch.setenv("THUMB_PROXY_SERVER__PUBLIC_ORIGIN", written)
        assert load().server.public_origin == kept
    for written in ("drive?x", "drive#x", "a//b", "a/../b", "a b", "%2e", "a;b", "日", "."):
        monkeypatch.setenv("THUMB_PROXY_SERVER__PUBLIC_ORIGIN", f"https://cloud.example.com/{written}")
        with pytest.raises(ConfigError, match="Its path may have"):
            load()
