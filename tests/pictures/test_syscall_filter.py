"""The filter of system calls: computing goes on, and nothing reaches beyond the process."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from proxy.pictures.syscall_filter import syscall_filter

pytestmark = pytest.mark.skipif(syscall_filter() is None, reason="libseccomp is Linux's")

ATTEMPTS = {
    "a file": "open('/etc/hostname')",
    "a directory": "os.listdir('/')",
    "a socket": "socket.socket()",
    "a process": "os.fork()",
    "a program": "os.execv('/bin/true', ['true'])",
    "another's memory": "os.kill(os.getppid(), 0)",
    "code": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    "another file descriptor": "os.write(2, b'x')",
    "a privilege": "os.setuid(65534)",
    "a thread": "thread()",
    "memory": "len(bytes(50_000_000))",
}
ALLOWED = {"a thread", "memory"}
PROGRAM = """
import json, mmap, os, socket, sys, threading
from proxy.pictures.syscall_filter import syscall_filter

def thread():
    started = threading.Thread(target=int)
    started.start()
    started.join()

attempts, results = json.loads(sys.argv[1]), {}
attempts = {name: compile(code, name, "eval") for name, code in attempts.items()}
syscall_filter().load()
for name, code in attempts.items():
    try:
        eval(code)
    except OSError as error:
        results[name] = error.strerror
    else:
        results[name] = ""
print(json.dumps(results), flush=True)
"""


async def test_all_but_computing_is_refused() -> None:
    """With EPERM, so that a decoder that tries fails as with a broken picture."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, json.dumps(ATTEMPTS), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    results = json.loads(said)
    assert {name for name, error in results.items() if not error} == ALLOWED
    assert {error for name, error in results.items() if name not in ALLOWED} == {"Operation not permitted"}
