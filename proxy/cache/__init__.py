"""The tiers (memory, the disk, Redis), and how an entry is loaded into them."""

DEFAULT_TTL_S = 86400.0
"""For callers of the aiocache interface that give no time to live: no entry lives for ever."""
