"""The system calls that an encoder process may make, by libseccomp (Linux); everything else fails with EPERM."""

from __future__ import annotations

import errno
import mmap
from contextlib import suppress
from typing import Any

PASSIVE = (
    *("brk", "munmap", "mremap", "madvise", "futex", "futex_time64", "get_robust_list", "set_robust_list", "rseq"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "exit", "exit_group"),
    *("clock_gettime", "clock_gettime64", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getrandom"),
    *("sched_getaffinity", "sched_yield", "gettid", "getpid", "membarrier"),
)
"""Memory, threads, signals of its own, time: nothing that reaches beyond the process."""
CLONE_THREAD = 0x10000
_STDIN, _STDOUT = 0, 1


def syscall_filter() -> Any | None:  # noqa: ANN401 - the library has no types
    """Make a filter whose `load` puts it into force for good; None where there is no libseccomp."""
    try:
        # Not at the top: it raises where there is no libseccomp, and searching for that runs other programs.
        import pyseccomp as seccomp  # type: ignore[import-untyped]  # noqa: PLC0415
    except (ImportError, RuntimeError, OSError):
        return None
    return _filter(seccomp)


def _filter(seccomp: Any) -> Any:  # noqa: ANN401 - the library has no types
    """Allow to read jobs, to write replies, to compute; no executable memory, and threads but no processes."""
    made = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    no_code = seccomp.Arg(2, seccomp.MASKED_EQ, mmap.PROT_EXEC, 0)
    no_file = seccomp.Arg(3, seccomp.MASKED_EQ, mmap.MAP_ANONYMOUS, mmap.MAP_ANONYMOUS)
    made.add_rule(seccomp.ALLOW, "read", seccomp.Arg(0, seccomp.EQ, _STDIN))
    made.add_rule(seccomp.ALLOW, "write", seccomp.Arg(0, seccomp.EQ, _STDOUT))
    made.add_rule(seccomp.ALLOW, "mmap", no_code, no_file)
    made.add_rule(seccomp.ALLOW, "mprotect", no_code)
    made.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, CLONE_THREAD, CLONE_THREAD))
    made.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags cannot be read: the C library falls back on clone
    for name in PASSIVE:
        with suppress(OSError):  # not a call of this architecture
            made.add_rule(seccomp.ALLOW, name)
    return made
