"""Where entries are kept: memory, the disk, Redis."""

DEFAULT_TTL_S = 86400.0
"""For callers of the aiocache interface that give no time to live: no entry lives for ever."""
