"""Looks at the directory of the tier on disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from proxy.doctor.finding import Finding, Verdict
from proxy.settings import DiskSettings

SUBJECT = "disk"
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.glusterfs", "ceph"})
"""File systems of other machines: LMDB needs one of this machine (http://www.lmdb.tech/doc/, Caveats)."""


def examine_disk(settings: DiskSettings, mounts: Path = Path("/proc/self/mounts")) -> list[Finding]:
    """Say whether the directory can be used, and whether there is room for as much as it may take."""
    if settings.path is None:
        return []
    folder = settings.path.absolute()
    there = folder if folder.exists() else folder.parent
    kind = _kind(there, mounts)
    if kind in _REMOTE:
        text = f"disk.path is on another machine's disk ({kind}); the tier needs a disk of this machine."
        return [Finding(Verdict.PROBLEM, SUBJECT, text)]
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        return [Finding(Verdict.PROBLEM, SUBJECT, f"Nothing can be written to disk.path by {_user()}: {reason}.")]
    return [_room(settings, folder, shutil.disk_usage(there).free)]


def _room(settings: DiskSettings, folder: Path, free: int) -> Finding:
    taken = sum(path.stat().st_blocks * 512 for path in folder.glob("*") if path.is_file()) if folder.exists() else 0
    text = (
        f"disk.path has {_mebibytes(free)} left; the tier takes {_mebibytes(taken)} of {_mebibytes(settings.max_bytes)}"
    )
    if free + taken >= settings.max_bytes:
        return Finding(Verdict.OK, SUBJECT, f"{text}.")
    return Finding(Verdict.ADVICE, SUBJECT, f"{text}: make room, or lower disk.max_bytes.")


def _kind(path: Path, mounts: Path) -> str:
    """Give the kind of the file system that a path is on."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    resolved = str(path.resolve())
    above = [line for line in lines if resolved == line[1] or resolved.startswith(line[1].rstrip("/") + "/")]
    return max(above, key=lambda line: len(line[1]))[2] if above else ""


def _mebibytes(number: int) -> str:
    return f"{number / 1024 / 1024:.0f} MiB"


def _user() -> str:
    return f"user {os.geteuid()}"
