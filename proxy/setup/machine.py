"""Changes a machine step by step, says each step, and remembers what to undo."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST = "/etc/thumb-proxy/installed.json"


class StepFailed(Exception):
    """A step could not be done; the text says which and why."""


@dataclass(slots=True)
class Machine:
    """This machine, or one that does not run, with its files below `root`; `dry_run` says what would be done."""

    root: Path
    dry_run: bool
    tell: Callable[[str], None]
    made: list[str] = field(default_factory=list)
    """Files and directories that were not there before, in the order in which they were made."""
    users: list[str] = field(default_factory=list)
    """Users that were not there before."""

    @property
    def runs(self) -> bool:
        """Whether its services can be started."""
        return self.root == Path("/") and not self.dry_run

    def path(self, name: str) -> Path:
        """Give the place of an absolute path."""
        return self.root / name.lstrip("/")

    def folder(self, name: str, mode: int, owner: str = "root") -> None:
        """Make a directory, unless it is there."""
        path = self.path(name)
        self._say(f"directory {name}", is_there=path.exists())
        if self.dry_run or path.exists():
            return
        self._remember(name)
        path.mkdir(parents=True, mode=mode)
        self._give(path, mode, owner)

    def write(self, name: str, text: str, mode: int = 0o644, owner: str = "root") -> None:
        """Write a file."""
        path = self.path(name)
        is_there = path.exists()
        self._say(f"file {name}", is_there=is_there and path.read_text(encoding="utf-8") == text)
        if self.dry_run:
            return
        if not is_there:
            self._remember(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        self._give(path, mode, owner)

    def run(self, *command: str) -> None:
        """Run a command of a machine that runs; where it does not, say that it is left to do."""
        self.tell(f"{'run' if self.runs else 'to run'}: {' '.join(command)}")
        if self.runs:
            self.do(command)

    def do(self, command: Sequence[str]) -> None:
        """Run a command, and raise StepFailed with what it prints when it fails."""
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own commands
        if done.returncode:
            raise StepFailed(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr).strip()}")

    def remember(self, **more: list[str]) -> None:
        """Write down what there is to undo, beside what was written down before."""
        if self.dry_run:
            return
        before = self.recall()
        added = {"made": self.made, "users": self.users}
        kept = {**{name: [*before.get(name, []), *values] for name, values in added.items()}, **more}
        self.path(MANIFEST).write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")

    def recall(self) -> dict[str, list[str]]:
        """Give what was written down; nothing where nothing is installed."""
        try:
            found: dict[str, list[str]] = json.loads(self.path(MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found

    def remove(self, name: str) -> None:
        """Remove a file, or a directory with what is in it, unless it is gone."""
        path = self.path(name)
        if not path.exists():
            return
        self.tell(f"remove {name}")
        if self.dry_run:
            return
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    def _say(self, what: str, *, is_there: bool) -> None:
        self.tell(f"{what}{': there already' if is_there else ''}")

    def _remember(self, name: str) -> None:
        if name not in self.made:
            self.made.append(name)

    def _give(self, path: Path, mode: int, owner: str) -> None:
        path.chmod(mode)
        if self.root == Path("/") and os.geteuid() == 0:
            shutil.chown(path, owner, owner)
        elif owner != "root":
            self.tell(f"to run: chown {owner}:{owner} /{path.relative_to(self.root)}")
