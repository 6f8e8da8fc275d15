"""Mistakes that newcomers make, and what each of them is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.settings.sources import ConfigError, load

SITE = '[cloudreve]\nurl = "http://127.0.0.1:5212"\n'
UNREADABLE = "/proc/self/mem"
"""A file that nobody can read from the beginning, root neither, whom the usual permissions do not stop."""
ENTRY = 'prefix = "cloudreve://my/press"\nemail = "press@example.com"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give the path of a file that configures the site."""
    path = tmp_path / "local.toml"
    path.write_text(SITE, encoding="utf-8")
    return path


def told(config: Path) -> str:
    """Load what has one mistake and give what is said about it."""
    with pytest.raises(ConfigError) as caught:
        load(config)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[cloudreve]\nurl = http://127.0.0.1:5212", ["line 2 (url)", "texts need quotation marks"]),
        ("[server]\npassthrough = True", ["line 2 (passthrough)", "either true or false, in lower case"]),
        ("[server]\npassthrough = yes # please", ["line 2 (passthrough)", "either true or false"]),
        ('[redis]\nurl = "redis://:S3CRET@cache\n[log]', ["line 2 (url)", "quotation mark is open"]),
        ("[redis]\nurl = 'redis://:S3CRET@cache", ["line 2 (url)", "quotation mark is open"]),
        ("[redis]\nurl = \u201credis://:S3CRET@cache\u201d", ["line 2 (url)", "straight"]),
        ('[cloudreve]\nurl: "http://127.0.0.1:5212"', ["line 2 (url)", "key = value"]),
        ("[server]\nport =\n", ["line 2 (port)", "no value behind the equals sign"]),
        ("[memory]\nmax_bytes = 256 MB", ["line 2 (max_bytes)", "one value per line"]),
        ("[server\nport = 1", ["line 1: ", "as [server]"]),
        ("[server]\nport = 1\nport = 2", ["line 3 (port)", "twice"]),
        (SITE + "[server]\n[cloudreve]", ["line 4: ", "twice"]),
        ('[embed]\nfallback = "C:\\pictures\\none.png"', ["line 2 (fallback)", "backslash"]),
        ('{"server": {}}', ["line 1: ", "either [table] or key = value"]),
        (SITE + '[server]\nurl = "http://S3CRET"', ["Did you mean cloudreve.url or redis.url?", "keys of [server]"]),
        ('[cloudreve]\nurl = "http://"', ["names no host behind http://", "Accepted: an address"]),
        ('[cloudreve]\nurl = "http://:5212"', ["names no host behind http://", "Accepted: an address"]),
        (SITE + '[redis]\nurl = "redis://"', ["It names no host.", "Accepted: redis://"]),
        (SITE + f'[publish]\n{ENTRY}secret = "S3CRET"', ["[[publish]]", "double brackets"]),
        (
            SITE + f'[[publish]]\n{ENTRY}password = "S3CRET"',
            ["number 1, password", "no such key", "secret_file: "],
        ),
        (SITE + f'[[publish]]\n{ENTRY}secret_file = "/nowhere"', ["secret_file", "There is no such file"]),
        (SITE + f"[[publish]]\n{ENTRY}", ["number 1 (", "One of secret and secret_file is needed"]),
        (
            SITE + f'[[publish]]\n{ENTRY}secret = "S3CRET"\nsecret_file = "local.toml"',
            ["number 1 (", "One of secret and secret_file is needed"],
        ),
        (SITE + f'[[publish]]\n{ENTRY}secret_file = "/dev/null"', ["secret_file", "There is no such file"]),
        (SITE + f'[[publish]]\n{ENTRY}secret_file = "{UNREADABLE}"', ["secret_file", "cannot be read: Input/output"]),
        (SITE + f'[embed]\nfallback = "{UNREADABLE}"', ["embed.fallback", "cannot be read: Input/output"]),
        (
            SITE + '[embed]\nfallback = "/nowhere"',
            ["embed.fallback", "no such file", "Accepted: the path of a picture"],
        ),
        (SITE + '[[publish]]\nemail = "a@b"\nsecret = "S3CRET"', ["number 1, prefix", "it is missing"]),
        (SITE + '[[publish]]\nprefix = "/press"\nsecret = "S3CRET"', ["does not start with cloudreve://", "/path.\n"]),
        (SITE + '[sign_in]\nclient_id = "app"', ["needed together", "sign_in.client_secret is not set"]),
    ],
)
def test_a_mistake_in_the_file_is_named_without_its_secrets(text: str, words: list[str], config: Path) -> None:
    """It is told in the words of the file, and what looks like a secret is not repeated."""
    config.write_text(text, encoding="utf-8")
    problem = told(config)
    assert all(word in problem for word in words), problem
    assert "S3CRET" not in problem
    assert "tuple" not in problem


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_files_of_any_editor_are_read(encoding: str, newline: str, config: Path) -> None:
    """With a byte order mark and Windows' ends of lines, secrets too."""
    (config.parent / "secrets").mkdir()
    (config.parent / "secrets" / "redis__url").write_text(f"redis://cache{newline}", encoding=encoding)
    (config.parent / "password").write_text(f"S3CRET{newline}", encoding=encoding)
    text = SITE + f'[[publish]]\n{ENTRY}secret_file = "password"'
    config.write_text(text.replace("\n", newline), encoding=encoding, newline="")
    settings = load(config)
    assert settings.cloudreve.url == "http://127.0.0.1:5212"
    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value() == "redis://cache"
    assert settings.publish[0].secret_text == "S3CRET"


def test_a_file_in_another_encoding_is_told_how_to_save(config: Path) -> None:
    config.write_text(SITE, encoding="utf-16")
    assert "no UTF-8 text (byte 0); save it as UTF-8" in told(config)


def test_secrets_lie_beside_the_file_where_nothing_else_is_said(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable names another directory in their place."""
    (config.parent / "secrets").mkdir()
    (config.parent / "secrets" / "server__port").write_text("7")
    assert load(config).server.port == 7
    (config.parent / "others").mkdir()
    monkeypatch.setenv("THUMB_PROXY_SECRETS_DIR", str(config.parent / "others"))
    assert load(config).server.port == 8080
    monkeypatch.delenv("THUMB_PROXY_SECRETS_DIR")
    (config.parent / "secrets" / "redis_url").write_text("redis://:S3CRET@cache")
    assert told(config).endswith("redis_url names no setting. Did you mean redis__url?")


@pytest.mark.parametrize(
    ("body", "key", "words"),
    [
        (b"GIF89a" + b" " * 1024 * 1024, "embed.fallback", "larger than 1048576 bytes"),
        (b"<svg/>", "embed.fallback", "no picture"),
        (b"no certificate", "cloudreve.ca_file", "no certificates in PEM"),
        (b" \n", "secret_file", "secret is empty"),
        (b"\xff\xfe", "secret_file", "no UTF-8"),
        (b"x" * 70_000, "secret_file", "larger than 65536 bytes"),
    ],
)
def test_a_file_that_does_not_hold_what_it_is_named_for(body: bytes, key: str, words: str, config: Path) -> None:
    (config.parent / "file").write_bytes(body)
    texts = {
        "cloudreve.ca_file": 'ca_file = "file"',
        "embed.fallback": '[embed]\nfallback = "file"',
        "secret_file": f'[[publish]]\n{ENTRY}secret_file = "file"',
    }
    text = texts[key]
    config.write_text(SITE + text, encoding="utf-8")
    problem = told(config)
    assert key in problem
    assert words in problem


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CLOUDREVE_URL", "http://127.0.0.1:5212", ["Did you mean THUMB_PROXY_CLOUDREVE__URL?"]),
        ("PORT", "8081", ["Did you mean THUMB_PROXY_ADMIN__PORT or THUMB_PROXY_SERVER__PORT?"]),
        ("URL", "http://x", ["Did you mean THUMB_PROXY_CLOUDREVE__URL or THUMB_PROXY_REDIS__URL?"]),
        ("PUBLISH", "prefix=cloudreve://my", ["THUMB_PROXY_PUBLISH", "JSON"]),
        ("PUBLISH", '["cloudreve://my"]', ["number 1", "a table"]),
    ],
)
def test_a_mistake_in_the_environment(
    name: str, value: str, words: list[str], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"THUMB_PROXY_{name}", value)
    problem = told(config)
    assert all(word in problem for word in words), problem


@pytest.mark.parametrize("value", ["1", "0"])
def test_a_variable_that_would_turn_purges_off_is_refused(
    config: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """Aiocache would delete nothing, and tell nobody."""
    monkeypatch.setenv("AIOCACHE_DISABLE", value)
    if value == "1":
        assert "AIOCACHE_DISABLE = 1 is not accepted" in told(config)
    else:
        assert load(config)


def test_a_secret_file_with_one_underscore(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would pass for somebody else's file, and the setting for one that was never made."""
    (tmp_path / "redis_url").write_text("redis://:S3CRET@cache", encoding="utf-8")
    monkeypatch.setenv("THUMB_PROXY_SECRETS_DIR", str(tmp_path))
    assert told(config).endswith("redis_url names no setting. Did you mean redis__url?")
