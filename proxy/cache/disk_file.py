"""The file of the disk tier: shared by the processes of one machine, and begun anew where it cannot be trusted."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import lmdb
import structlog
from lmdb.verify import VerifyError, verify

from proxy.cache.disk_extents import RULER, RULER_BYTES, Extents
from proxy.coalesce.file_lock import lock_within, locked_now
from proxy.settings.files import own_folder

FORMAT = b"thumb-proxy/3"
"""Raise it with every change of the records' shape: a file of another version is begun anew."""
PATIENCE_S = 60.0
"""How long another process that checks the file is waited for."""

_MAX_READERS = 1024
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH

_log = structlog.get_logger("proxy.cache.disk_tier")


class Unusable(Exception):
    """The directory or its file is not used; says why."""


class OpenFile(NamedTuple):
    """The file, open."""

    path: Path
    inode: int
    lock: int
    """A descriptor; the lock on it says to others that the file is in use."""
    env: lmdb.Environment
    entries: lmdb._Database
    uses: lmdb._Database
    extents: Extents

    def close(self) -> None:
        """Close everything."""
        self.extents.close()
        self.env.close()
        os.close(self.lock)


def open_file(folder: Path, max_bytes: int) -> OpenFile:
    """Open the file in a directory of the gateway's own; raise Unusable saying what is wrong.

    The first process to open it checks it, since LMDB itself trusts what it reads: a damaged file may end the process.
    """
    try:
        check_folder(folder)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            path = folder / "entries.mdb"
            if locked_now(lock, fcntl.LOCK_EX):
                _renew(path, max_bytes)
            _share(lock)
            return _opened(path, max_bytes, lock)
        except BaseException:
            os.close(lock)
            raise
    except (lmdb.Error, OSError) as error:
        raise Unusable(f"the disk tier's file cannot be opened: {error}{_hint(error)}") from error


def _hint(error: Exception) -> str:
    """Explain what LMDB says where it takes two processes for one: each locks its number."""
    is_taken = isinstance(error, lmdb.Error) and os.strerror(errno.EAGAIN) in str(error)
    return " (containers that share it need one process namespace)" if is_taken else ""


def check_folder(folder: Path) -> None:
    """Make a directory of the gateway's own, or raise Unusable where it is anything else."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    try:
        own_folder(folder)
    except ValueError as error:
        raise Unusable(str(error)) from None
    if folder.stat().st_uid != os.geteuid():
        raise Unusable("the directory is another user's")


def _share(lock: int) -> None:
    """Hold the lock together with all who use the file; wait for a process that is checking it."""
    try:
        lock_within(PATIENCE_S, lock, fcntl.LOCK_SH)
    except TimeoutError:
        raise Unusable("another process has kept the disk tier's file to itself for too long") from None


def _renew(path: Path, max_bytes: int) -> None:
    """Leave a file that is sound and of this version; nobody has it open meanwhile."""
    path.with_name(f"{path.name}-lock").unlink(missing_ok=True)  # what a process that died has left in it
    reason = _why_unsound(path, max_bytes) if path.is_symlink() or path.exists() else ""
    if reason:
        _log.warning("disk tier begun anew", reason=reason)
        path.unlink()
    env = _environment(path, max_bytes)
    try:
        if _version(env) != FORMAT:
            env.close()
            path.unlink()
            env = _environment(path, max_bytes)
            _stamp(env)
    finally:
        env.close()


def _why_unsound(path: Path, max_bytes: int) -> str:
    """Say why a file is not to be used; the check reads the structure and not the entries, which are sealed."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & _OTHERS_MAY_WRITE:
        return "others may have written to the file"
    if status.st_size > max_bytes:
        return "the file is larger than disk.max_bytes"
    path.chmod(0o600)
    try:
        problems = verify(str(path), subdir=False)  # type: ignore[no-untyped-call]
    except (VerifyError, ValueError, IndexError) as error:
        return f"this is no such file: {error}"
    return problems[0] if problems else ""


def _environment(path: Path, max_bytes: int, *, is_there: bool = False) -> lmdb.Environment:
    """Open with writes that the system may do later: a crash of the machine costs entries, and the check finds out."""
    return lmdb.open(
        str(path),
        map_size=max_bytes,
        subdir=False,
        mode=0o600,
        create=not is_there,
        max_dbs=3,
        max_readers=_MAX_READERS,
        max_spare_txns=4,
        sync=False,
        metasync=False,
        readahead=False,
    )


def _version(env: lmdb.Environment) -> bytes | None:
    about = env.open_db(b"about")
    with env.begin(db=about) as txn:
        return txn.get(b"format")


def _check_version(env: lmdb.Environment) -> None:
    if _version(env) != FORMAT:
        raise Unusable("a gateway of another version uses the disk tier's file")


def _stamp(env: lmdb.Environment) -> None:
    about = env.open_db(b"about")
    with env.begin(db=about, write=True) as txn:
        txn.put(b"format", FORMAT)
        txn.put(RULER, os.urandom(RULER_BYTES))


def _extents(path: Path, env: lmdb.Environment) -> Extents:
    with env.begin(db=env.open_db(b"about"), buffers=True) as txn:
        return Extents(path, txn.get(RULER))


def _opened(path: Path, max_bytes: int, lock: int) -> OpenFile:
    env = _environment(path, max_bytes, is_there=True)
    try:
        _check_version(env)
        env.reader_check()
        entries, uses, inode = env.open_db(b"entries"), env.open_db(b"uses"), path.stat().st_ino
        return OpenFile(path, inode, lock, env, entries, uses, _extents(path, env))
    except BaseException:
        env.close()
        raise
