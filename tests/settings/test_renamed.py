"""The configuration of the version before."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.settings import renamed
from proxy.settings.sources import ConfigError, load

LAST = Path(__file__).with_name("default-0.1.0.toml")
SITE = '[cloudreve]\nurl = "http://127.0.0.1:5212"\n'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the path of a file, and let two keys have had other names."""
    monkeypatch.setattr(renamed, "RENAMED", {"server.patience_s": "server.deadline_s", "old.ttl_s": "identity.ttl_s"})
    return tmp_path / "local.toml"


def loaded(config: Path, text: str) -> tuple[tuple[float, float], list[str]]:
    """Load a file; give the two values, and what was warned of."""
    told: list[str] = []
    config.write_text(SITE + text)
    settings = load(config, warn=told.append)
    return (settings.server.deadline_s, settings.identity.ttl_s), told


def test_every_key_of_the_last_version_is_read() -> None:
    """Its file of defaults, which has all of them, without a warning."""
    told: list[str] = []
    assert load(LAST, warn=told.append).server.port == 8080
    assert told == []


def test_a_renamed_key_is_taken_with_a_warning(config: Path) -> None:
    """Also one of a table that is gone; the warning names both."""
    values, told = loaded(config, "[server]\npatience_s = 7.0\n[old]\nttl_s = 8.0\n")
    assert values == (7.0, 8.0)
    assert [line.partition(" (")[0] for line in told] == ["server.patience_s", "old.ttl_s"]
    assert "is called server.deadline_s now" in told[0]


def test_the_new_name_wins(config: Path) -> None:
    assert loaded(config, "[server]\npatience_s = 7.0\ndeadline_s = 9.0\n")[0][0] == 9.0


def test_a_bad_value_of_a_renamed_key_is_told(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"server\.deadline_s"):
        loaded(config, '[server]\npatience_s = "soon"\n')
