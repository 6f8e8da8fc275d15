# The part of aiocache 0.12 that the tiers inherit; the library has no types of its own.
