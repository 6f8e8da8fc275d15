"""Where settings come from, and what a person is told who has written one wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.settings.sources import FLAGS, ConfigError, load

URL = "http://127.0.0.1:5212"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Give the path of a file that configures the site."""
    path = tmp_path / "local.toml"
    path.write_text(f'[cloudreve]\nurl = "{URL}"\n[server]\nport = 1\n', encoding="utf-8")
    return path


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "secrets"
    directory.mkdir()
    monkeypatch.setenv("THUMB_PROXY_SECRETS_DIR", str(directory))
    return directory


def problems(config: Path | None = None, overrides: dict[str, object] | None = None) -> tuple[str, ...]:
    """Load what cannot be loaded and give what is said about it."""
    with pytest.raises(ConfigError) as caught:
        load(config, overrides)
    return caught.value.problems


def test_flags_win_over_environment_over_secret_files_over_file_over_defaults(
    config: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Take the sources away one by one, the strongest first."""
    monkeypatch.setenv("THUMB_PROXY_SERVER__PORT", "3")
    (secrets / "server__port").write_text("2\n", encoding="utf-8")
    assert load(config, {"server.port": 4, "server.host": None}).server.port == 4
    assert load(config).server.port == 3
    monkeypatch.delenv("THUMB_PROXY_SERVER__PORT")
    assert load(config).server.port == 2
    (secrets / "server__port").unlink()
    assert load(config).server.port == 1
    assert load(None, {"cloudreve.url": URL}).server.port == 8080


def test_sources_are_merged_key_by_key(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable for one key leaves the file's others of the section alone."""
    monkeypatch.setenv("THUMB_PROXY_SERVER__DEADLINE_S", "7")
    settings = load(config)
    assert (settings.server.port, settings.server.deadline_s) == (1, 7.0)


def test_the_environment_names_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMB_PROXY_CONFIG", str(config))
    assert load().server.port == 1
    other = config.with_name("other.toml")
    other.write_text(f'cloudreve.url = "{URL}"\nserver.port = 5', encoding="utf-8")
    assert load(other).server.port == 5


def test_an_empty_variable_counts_as_unset(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass variables on that nobody has set."""
    monkeypatch.setenv("THUMB_PROXY_REDIS__URL", "")
    monkeypatch.setenv("THUMB_PROXY_SERVER__PORT", "")
    monkeypatch.setenv("THUMB_PROXY_SECRETS_DIR", "")
    assert load(config).server.port == 1


@pytest.mark.parametrize(
    "written",
    [
        '["https://a.example", "https://b.example"]',
        "https://a.example,https://b.example",
        "https://a.example, https://b.example",
        " https://a.example\nhttps://b.example ",
    ],
)
def test_a_list_in_the_environment_is_json_or_plain(
    written: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither commas nor blanks occur in an origin, so there is nothing to mistake."""
    monkeypatch.setenv("THUMB_PROXY_CLOUDREVE__PUBLIC_ORIGINS", written)
    assert load(config).cloudreve.public_origins == ("https://a.example", "https://b.example")


def test_a_single_text_in_the_environment_is_a_list_of_one(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMB_PROXY_CLOUDREVE__IMAGE_HOSTS", ".cdn.example.com")
    assert load(config).cloudreve.image_hosts == (".cdn.example.com",)


def test_secrets_come_from_files_without_their_newline(config: Path, secrets: Path) -> None:
    """As Docker and Kubernetes mount them; other files in the directory are nobody's business."""
    (secrets / "cloudreve__secret_key").write_text("a key\n", encoding="utf-8")
    (secrets / "redis__url").write_text("redis://:pw@cache\n", encoding="utf-8")
    (secrets / "tls.key").write_text("other", encoding="utf-8")
    settings = load(config)
    assert settings.cloudreve.secret_key is not None
    assert settings.cloudreve.secret_key.get_secret_value() == "a key"
    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value() == "redis://:pw@cache"


def test_secrets_come_from_a_directory_as_kubernetes_mounts_it(config: Path, secrets: Path) -> None:
    """The names are links into a dated directory, which is replaced at once when a secret changes."""
    dated = secrets / "..2026_11_23"
    dated.mkdir()
    (dated / "redis__url").write_text("redis://cache", encoding="utf-8")
    (secrets / "..data").symlink_to(dated.name)
    (secrets / "redis__url").symlink_to("..data/redis__url")
    assert load(config).redis.url is not None


def test_every_problem_of_every_source_is_told_at_once(
    config: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody likes to mend one after the other. Each text names source and key."""
    config.write_text('[server]\nprot = 1\n[cloudreve]\nurl = "ftp://x"\n[sever]\n', encoding="utf-8")
    (secrets / "redis__ulr").write_text("x", encoding="utf-8")
    monkeypatch.setenv("THUMB_PROXY_ADMIN__PORT", "eighty")
    monkeypatch.setenv("THUMB_PROXY_ADMIN_HOST", "x")
    told = problems(config, {"server.port": 99999})
    assert [text.splitlines()[0] for text in told] == [
        f"server.prot ({config}): there is no such key. Did you mean server.port?",
        f"sever ({config}): there is no such table. Did you mean [server]?",
        f"secret file {secrets / 'redis__ulr'} names no setting. Did you mean redis__url?",
        "environment variable THUMB_PROXY_ADMIN_HOST names no setting. Did you mean THUMB_PROXY_ADMIN__HOST?",
        "server.port = 99999 (flag --port) is not accepted.",
        'admin.port = "eighty" (environment variable THUMB_PROXY_ADMIN__PORT) is not accepted.',
        f'cloudreve.url = "ftp://x" ({config}) is not accepted.',
    ]
    assert told[4].splitlines()[1:] == ["    Accepted: a whole number from 0 to 65535."]
    assert told[6].splitlines()[1] == "    It has to start with http:// or https://."


def test_paths_in_a_file_are_relative_to_it(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the gateway is started; an absolute path stays as it is."""
    folder = config.parent
    (folder / "press").write_text("refresh-token\n", encoding="utf-8")
    (folder / "sorry.gif").write_bytes(b"GIF89a")
    entries = [
        f'[[publish]]\nprefix = "cloudreve://my/{path}"\nsecret_file = "{path}"' for path in ("press", folder / "press")
    ]
    config.write_text(
        "\n".join([f'cloudreve.url = "{URL}"', 'embed.fallback = "sorry.gif"', *entries]), encoding="utf-8"
    )
    monkeypatch.chdir("/")
    settings = load(config)
    assert [entry.secret_text for entry in settings.publish] == ["refresh-token"] * 2
    assert settings.embed.fallback == folder / "sorry.gif"


def test_a_missing_cloudreve_url_says_what_to_set_and_how() -> None:
    (told,) = problems()
    for way in ("--cloudreve-url", "THUMB_PROXY_CLOUDREVE__URL=", "[cloudreve]", "thumb-proxy demo"):
        assert way in told


def test_settings_that_clash_are_told_with_their_values_and_sources(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THUMB_PROXY_GRANTS__MARGIN_S", "4000")
    (told,) = problems(config)
    assert told.splitlines()[1:] == [
        '    grants.margin_s = "4000" (environment variable THUMB_PROXY_GRANTS__MARGIN_S)',
        "    grants.max_ttl_s = 3600.0 (the default)",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server\nport = 1", "no valid TOML"),
        ("server = 3", "has to be a table"),
        ("port = 8080", "Did you mean server.port or admin.port?"),
        ("[server]\nttl_s = 1", "Did you mean identity.ttl_s or pictures.ttl_s?"),
        ("[server.tls]\ncert = 1", "server.tls"),
    ],
)
def test_errors_of_a_file_are_reported(text: str, told: str, config: Path) -> None:
    config.write_text(f'cloudreve.url = "{URL}"\n{text}', encoding="utf-8")
    (problem,) = problems(config)
    assert str(config) in problem
    assert told in problem


def test_bad_toml_is_told_with_its_line(config: Path) -> None:
    """And what may stand in the rest of the file is not called missing."""
    config.write_text("[server]\nport = = 1", encoding="utf-8")
    (problem,) = problems(config)
    assert "line 2" in problem


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, config: Path) -> None:
    assert "No such file" in problems(tmp_path / "absent.toml")[0]
    assert "directory" in problems(tmp_path)[0]
    config.write_bytes(b"\xff\xfe")
    assert "UTF-8" in problems(config)[0]


def test_secret_files_that_cannot_be_read_are_told(config: Path, secrets: Path) -> None:
    """An absent directory must not pass for one without secrets."""
    (secrets / "redis__url").write_bytes(b"\xff\xfe")
    assert "readable text files" in problems(config)[0]
    (secrets / "redis__url").unlink()
    secrets.rmdir()
    assert str(secrets) in problems(config)[0]


def test_no_secret_is_shown(config: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a bad one, nor one under a misspelt key or in the wrong place, nor a password in a URL."""
    config.write_text(
        '[cloudreve]\nurl = "https://me:S3CRET@x/y"\nsecret_kye = "S3CRET"\nsecret_key = ["S3CRET"]\n'
        'public_origins = ["https://me:S3CRET@x"]\n[redis]\nurl = "redis://:S3CRET/@host"\n[secret]\nS3CRET = 1\n',
        encoding="utf-8",
    )
    (secrets / "redis__password").write_text("S3CRET", encoding="utf-8")
    monkeypatch.setenv("THUMB_PROXY_SECRET_KEY", "S3CRET")
    told = problems(config)
    assert len(told) == 8
    assert "S3CRET" not in "\n".join(told)


@pytest.mark.parametrize(
    "name",
    ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR"],
)
def test_variables_that_kubernetes_sets_are_no_mistake(
    name: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a service called thumb-proxy, every container has these."""
    monkeypatch.setenv(f"THUMB_PROXY_{name}", "tcp://10.0.0.1:8080")
    assert load(config).server.port == 1


def test_a_long_value_is_shown_in_part(config: Path) -> None:
    (problem,) = problems(config, {"server.host": "x " * 500})
    assert len(problem) < 300


@pytest.mark.parametrize("key", FLAGS)
def test_flags_are_named_as_people_write_them(key: str, config: Path) -> None:
    (problem,) = problems(config, {key: "::::"})
    assert f"(flag {FLAGS[key]})" in problem


def test_the_service_manager_names_a_directory_for_the_disk_tier(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several the first; whatever the configuration says comes before it, and an empty path is none."""
    (tmp_path / "one").mkdir()
    monkeypatch.setenv("CACHE_DIRECTORY", f"{tmp_path}/one:{tmp_path}/two")
    assert load(config).disk.path == tmp_path / "one"
    text = config.read_text(encoding="utf-8")
    config.write_text(f'{text}[disk]\npath = "other"\n', encoding="utf-8")
    assert load(config).disk.path == tmp_path / "other"
    config.write_text(f'{text}[disk]\npath = ""\n', encoding="utf-8")
    assert load(config).disk.path is None


def test_a_directory_of_the_service_manager_that_cannot_be_used_is_named(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "none" / "such"))
    [problem] = problems(config)
    assert "environment variable CACHE_DIRECTORY" in problem
