"""File descriptors: each visitor takes one, and so do connections to Cloudreve, to images and to Redis."""

from __future__ import annotations

import resource
from contextlib import suppress


def room_for(visitors: int) -> int:
    """Give how many visitors may be let in, at most so many; the process's own limit is raised as far as it may be.

    One half of the descriptors is theirs. The other is for connections to Cloudreve, to images and to Redis: were it
    taken too, Cloudreve would seem to be down.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * visitors
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # some systems allow less than they say
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
            )
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return visitors if soft == resource.RLIM_INFINITY else max(min(visitors, soft // 2), 1)
