"""The encoder agrees with the published and the independent vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.standin.obfuscate import obfuscate

VECTORS = json.loads((Path(__file__).parents[1] / "facts" / "obfuscation.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=range(len(VECTORS)))
def test_a_vector_is_encoded_as_published(vector: dict[str, Any]) -> None:
    """Every vector, both those of the documentation and those made independently."""
    assert obfuscate(vector["url"], vector["at"]) == vector["obfuscated"]
