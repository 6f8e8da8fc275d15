"""The commit that a work tree has, read without git."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy import __version__, version

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the directory of a repository in whose work tree the program lies."""
    monkeypatch.setattr(version, "_COMMIT", tmp_path / "commit.txt")
    monkeypatch.setattr(version, "__file__", str(tmp_path / "proxy" / "version.py"))
    (tmp_path / ".git").mkdir()
    return tmp_path / ".git"


def test_a_branch_that_is_checked_out(git: Path) -> None:
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs\n{'f' * 40} refs/heads/other\n{COMMIT} refs/heads/main\n")
    assert version.commit() == COMMIT[:12]
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "refs" / "heads" / "main").write_text("a" * 40 + "\n")
    assert version.commit() == "a" * 12
    assert version.full_version().endswith(f"({'a' * 12})")


def test_a_commit_that_is_checked_out(git: Path) -> None:
    (git / "HEAD").write_text(f"{COMMIT}\n")
    assert version.commit() == COMMIT[:12]


def test_a_linked_work_tree(git: Path, tmp_path: Path) -> None:
    git.rmdir()
    linked = tmp_path / "repository" / "worktrees" / "mine"
    linked.mkdir(parents=True)
    git.write_text(f"gitdir: {linked}\n")
    (linked / "HEAD").write_text("ref: refs/heads/mine\n")
    (linked / "commondir").write_text("../..\n")
    (tmp_path / "repository" / "packed-refs").write_text(f"{COMMIT} refs/heads/mine\n")
    assert version.commit() == COMMIT[:12]


def test_nothing_is_known_without_a_repository(git: Path) -> None:
    assert version.commit() == ""
    assert version.full_version() == __version__


def test_a_built_distribution_names_its_commit(git: Path, tmp_path: Path) -> None:
    (git / "HEAD").write_text(f"{COMMIT}\n")
    (tmp_path / "commit.txt").write_text("built\n")
    assert version.commit() == "built"
