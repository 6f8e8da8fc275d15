"""Runs a program that hears of no change of network interfaces; usage: without_netlink.py PROGRAM ARGUMENT...

Chromium ends each request with ERR_NETWORK_CHANGED when an interface comes or goes, as those of containers do, which
other tests run meanwhile (issues.chromium.org/issues/41465264).
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from contextlib import suppress


def forbid_netlink() -> None:
    """Let nothing in this process open a socket of that family; without libseccomp nothing is forbidden."""
    with suppress(ImportError, RuntimeError, OSError):
        import pyseccomp as seccomp  # type: ignore[import-untyped]  # noqa: PLC0415 - it raises without the library

        rules = seccomp.SyscallFilter(seccomp.ALLOW)
        rules.add_rule(seccomp.ERRNO(errno.EAFNOSUPPORT), "socket", seccomp.Arg(0, seccomp.EQ, socket.AF_NETLINK))
        rules.load()


if __name__ == "__main__":
    forbid_netlink()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - a program of the tests
