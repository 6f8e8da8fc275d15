"""Which version runs."""

from __future__ import annotations

from pathlib import Path

from proxy import __version__

_COMMIT = Path(__file__).with_name("commit.txt")


def commit() -> str:
    """Name the commit that `deploy/build` has built, or that a work tree has; empty where neither is known."""
    try:
        return _COMMIT.read_text(encoding="ascii").strip()
    except OSError:
        return _checked_out(Path(__file__).parents[1] / ".git")[:12]


def _checked_out(git: Path) -> str:
    """Read which commit a work tree has, without git (gitrepository-layout(5))."""
    try:
        if git.is_file():  # of a linked work tree
            git = git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        shared = git / (git / "commondir").read_text(encoding="utf-8").strip() if (git / "commondir").exists() else git
        return _branch(shared, head.removeprefix("ref: "))
    except OSError:
        return ""


def _branch(git: Path, name: str) -> str:
    """Give the commit of a branch; empty where there is none."""
    if (git / name).exists():
        return (git / name).read_text(encoding="utf-8").strip()
    packed = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
    return next((line.partition(" ")[0] for line in packed if line.endswith(f" {name}")), "")


def full_version() -> str:
    """Give the version, and the commit where it is known."""
    return f"{__version__} ({commit()})" if commit() else __version__
