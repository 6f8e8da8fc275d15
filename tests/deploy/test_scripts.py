"""The scripts of the project, in the eyes of ShellCheck."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def is_script(path: Path) -> bool:
    return path.is_file() and (path.suffix == ".sh" or path.read_bytes().startswith(b"#!/usr/bin/env bash"))


SCRIPTS = sorted(path for folder in ("deploy", ".ci") for path in (ROOT / folder).iterdir() if is_script(path))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    """Of what a script sources it looks at every line too."""
    program = Path(sys.executable).with_name("shellcheck")
    command = [str(program), "--external-sources", f"--source-path={ROOT}", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own files
    assert done.returncode == 0, done.stdout + done.stderr
