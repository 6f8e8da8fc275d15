"""Digests in the log find the same file and visitor again, and give neither away."""

from __future__ import annotations

from proxy.domain.file_uri import parse
from proxy.domain.log_digests import digests_for

KEY, SITE = "k" * 32, "https://cloud.example.com"
OURS = digests_for([KEY], SITE, "random")
SHARED = parse("cloudreve://AbC:pw@share/one.jpg", 4096)
OWN = parse("cloudreve://my/one.jpg", 4096)


def test_a_file_has_one_digest_at_every_replica_and_after_a_restart() -> None:
    """In every spelling, with `seal.keys`; the second key is for what was sealed before."""
    again = digests_for([KEY, "o" * 32], SITE, "another")
    assert OURS.file(SHARED) == again.file(parse("CLOUDREVE://AbC:pw@share//x/../one.jpg", 4096))
    assert len(OURS.file(SHARED)) == 12


def test_without_the_key_nobody_can_compute_it() -> None:
    """Neither with another key, nor for another site, nor where each process has its own."""
    others = (digests_for(["x" * 32], SITE, ""), digests_for([KEY], "http://other", ""), digests_for([], SITE, "a"))
    assert len({digests.file(SHARED) for digests in (OURS, digests_for([], SITE, "b"), *others)}) == 5


def test_files_of_different_users_differ_though_they_are_called_the_same() -> None:
    assert OURS.file(OWN, "alice") != OURS.file(OWN, "bob")
    assert OURS.file(SHARED, "alice") == OURS.file(SHARED, "bob")


def test_a_user_is_not_taken_for_an_address() -> None:
    assert OURS.user("10") != OURS.address("10")
