"""The content of a sealed URL, where the whole gateway is not needed to tell."""

from __future__ import annotations

import pytest

from proxy.cache.memory_tier import MemoryTier
from proxy.cache.tiers import Tiers
from proxy.domain.errors import BadSeal, Expired, UpstreamError
from proxy.domain.file_uri import FileUri
from proxy.domain.grant import Grant
from proxy.domain.identity import ANONYMOUS
from proxy.domain.seal import MAX_PAYLOAD_BYTES, Purpose, Sealer
from proxy.domain.source import Source
from proxy.domain.thumb_request import PictureRequest
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.found_grant import FoundGrant, Granted
from proxy.grants.invalidation import Invalidations
from proxy.grants.validity import Decision
from proxy.observe.metrics import Metrics
from proxy.pictures.respond import Responder
from proxy.sealed.sealed_access import SealedAccess
from proxy.settings import Settings
from proxy.upstream.clock import Clock

NOW = 1_795_000_000.0
SEALER = Sealer(["0123456789abcdef" * 2])
SETTINGS = Settings.model_validate({"cloudreve": {"url": "http://127.0.0.1:5212"}, "grants": {"margin_s": 10.0}})


class NoAnswers(Responder):
    """Where no picture is to be looked for."""

    def __init__(self) -> None:
        """Know nothing."""


@pytest.fixture
def sealed() -> SealedAccess:
    """Give the step, with nothing behind it."""
    feed = ChangeFeed(None, Invalidations(lambda: NOW), lambda: NOW)
    tiers = Tiers(MemoryTier(1_000_000))
    return SealedAccess(SEALER, tiers, NoAnswers(), feed, Clock(lambda: NOW), Metrics(), SETTINGS)


def granted(url: str = "http://127.0.0.1:5212/x", fresh_until: float = NOW + 3590, version: str = "") -> Granted:
    grant = Grant(url, fresh_until, "ab" * 20, own=True, version=version, granted_at=NOW)
    found = FoundGrant(Decision(ANONYMOUS, grant), Source.MEMORY, collapsed=False)
    return Granted(ANONYMOUS, FileUri("cloudreve://AEUa@share/one.jpg", "share"), found, fresh_until - NOW)


def test_a_grant_has_one_text(sealed: SealedAccess) -> None:
    """Whatever the replica has learnt about it, and wherever it found it."""
    assert sealed.seal(granted()) == sealed.seal(granted(version='"v1"'))
    assert sealed.seal(granted()) != sealed.seal(granted(fresh_until=NOW + 3591))


def test_a_signed_url_that_makes_no_usable_url_is_an_upstream_error(sealed: SealedAccess) -> None:
    """Common front ends refuse a request line of more than 8 KiB; a provider's URLs take 2."""
    assert sealed.seal(granted("http://127.0.0.1:5212/" + "x" * 4000))
    with pytest.raises(UpstreamError, match="too long"):
        sealed.seal(granted("http://127.0.0.1:5212/" + "x" * MAX_PAYLOAD_BYTES))


@pytest.mark.parametrize("late_s", [0.0, 1.0, 100_000.0])
async def test_an_expired_grant_opens_nothing(sealed: SealedAccess, late_s: float) -> None:
    """To the second: the margin is for using what one was given, and then it is over."""
    text = sealed.seal(granted(fresh_until=NOW - 10.0 - late_s))
    with pytest.raises(Expired):
        await sealed.answer(text, PictureRequest())


@pytest.mark.parametrize("payload", [b"", b"\x80", b"rubbish", b"\x91\x01"])
async def test_a_sealed_text_that_is_no_grant_opens_nothing(sealed: SealedAccess, payload: bytes) -> None:
    """As another version of the gateway may have written it."""
    with pytest.raises(BadSeal):
        await sealed.answer(SEALER.seal(Purpose.URL, payload), PictureRequest())
