"""Connections to Redis: client, cluster, pipelining, circuit breaker, pub/sub, leases."""
