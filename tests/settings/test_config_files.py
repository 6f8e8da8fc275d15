"""The files in config/ say what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from proxy.settings import KEYS, CloudreveSettings, PublishSettings, Settings
from proxy.settings.sources import load

CONFIG = Path(__file__).parents[2] / "config"
DEFAULT = (CONFIG / "default.toml").read_text(encoding="utf-8")
LIST_EXAMPLE = DEFAULT[DEFAULT.index("# [[publish]]") : DEFAULT.index("[log]")]
OPTIONAL = re.compile(r"^# (?=[a-z_]+ = )", re.MULTILINE)
"""The hash before a key that has no default: there is nothing in TOML for "not set"."""


def test_the_default_file_equals_the_defaults() -> None:
    """Except for the one key that has none: the file shows an example there."""
    settings = load(CONFIG / "default.toml")
    assert settings == Settings(cloudreve=CloudreveSettings(url="http://127.0.0.1:5212"))
    assert CloudreveSettings.model_fields["url"].is_required()


def test_the_default_file_has_every_key_and_no_other_in_the_order_of_the_code() -> None:
    """With the hashes before the optional ones taken away."""
    tables = tomllib.loads(OPTIONAL.sub("", DEFAULT.replace(LIST_EXAMPLE, "")))
    assert [f"{section}.{key}" for section, table in tables.items() for key in table] == list(KEYS)


def test_the_default_file_shows_an_entry_of_each_list_of_tables() -> None:
    """As a comment, since by default there is none; uncommented it is one that is accepted, but for its secret file."""
    entry = tomllib.loads(LIST_EXAMPLE.replace("# ", ""))["publish"][0]
    assert PublishSettings(**{**entry, "secret_file": CONFIG / "default.toml"}).prefix == "cloudreve://my/public"


def test_the_default_file_explains_each_key_above_it() -> None:
    assert [key for key in KEYS if not is_explained(key)] == []


def is_explained(key: str) -> bool:
    """Tell whether the line above a key is a comment."""
    section, _, name = key.partition(".")
    table = OPTIONAL.sub("", DEFAULT).partition(f"\n[{section}]\n")[2]
    return re.search(rf"^# .*\n{name} = ", table.partition("\n[")[0], re.MULTILINE) is not None


def test_the_example_is_the_shortest_that_works() -> None:
    settings = load(CONFIG / "example.toml")
    assert settings.cloudreve.model_fields_set == {"url", "public_origins"}
    assert settings.model_fields_set == {"cloudreve"}
