"""An image host that asks to be left alone is; when its time is over one request tells for all how it is."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from proxy.domain.errors import UpstreamError
from proxy.domain.storage_errors import StorageBusy
from proxy.upstream import host_pauses
from proxy.upstream.host_pauses import FAILURES, LONGEST_PAUSE_S, HostPauses, host_time, retry_after_s

NOW = 1_795_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("37", 37.0),
        (" 5 ", 5.0),
        ("0", 1.0),
        ("99999999999", LONGEST_PAUSE_S),
        ("9" * 400, LONGEST_PAUSE_S),
        ("Wed, 18 Nov 2026 11:07:40 GMT", 60.0),
        ("Wed, 18 Nov 2020 11:07:40 GMT", 1.0),
        ("-3", 1.0),
        ("soon", 1.0),
        ("", 1.0),
        (None, 1.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float) -> None:
    """A date counts on the host's own clock; what cannot be read is a second, and nothing is for ever."""
    assert retry_after_s(value, NOW) == seconds


@pytest.mark.parametrize("date", [None, "", "garbage"])
def test_a_host_without_a_readable_date_has_our_clock(date: str | None) -> None:
    """No answer of a storage is an error of the gateway's."""
    assert abs(host_time(date) - time.time()) < 60
    assert host_time("Wed, 18 Nov 2026 11:06:40 GMT") == NOW


def pause(pauses: HostPauses, host: str, seconds: float) -> None:
    with suppress(StorageBusy), pauses.request(host):
        raise StorageBusy(seconds)


async def test_a_paused_host_is_asked_for_nothing_and_others_go_on() -> None:
    pauses = HostPauses()
    pause(pauses, "one", 37.0)
    with pytest.raises(StorageBusy) as refusal, pauses.request("one"):
        pytest.fail("the host was asked")
    assert refusal.value.retry_after_s in (36, 37)
    with pauses.request("two"):
        pass


@pytest.mark.parametrize("error", [None, UpstreamError("x"), StorageBusy(0.0)])
async def test_one_request_probes_when_the_pause_is_over(error: Exception | None) -> None:
    """Others are refused meanwhile. A good end opens the host, any other lets the next request probe."""
    pauses = HostPauses()
    pause(pauses, "one", 0.0)
    with suppress(StorageBusy, UpstreamError), pauses.request("one"):
        with pytest.raises(StorageBusy), pauses.request("one"):
            pytest.fail("two requests probe")
        if error is not None:
            raise error
    await asyncio.sleep(0)
    with pauses.request("one"):
        pass


def fail(pauses: HostPauses, host: str) -> None:
    """Make a request that gets no whole answer."""
    with suppress(ConnectionError), pauses.request(host):
        raise ConnectionError
    pauses.fail(host)


async def test_a_probe_without_an_answer_pauses_the_host_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its first failure; a whole answer opens the host, and the count begins anew."""
    pauses = HostPauses()
    monkeypatch.setattr(host_pauses, "FAILED_PAUSE_S", 0.0)
    for _ in range(FAILURES):
        fail(pauses, "one")
    monkeypatch.setattr(host_pauses, "FAILED_PAUSE_S", 60.0)
    fail(pauses, "one")
    with pytest.raises(StorageBusy) as refusal, pauses.request("one"):
        pytest.fail("the host was asked")
    assert refusal.value.retry_after_s in (59, 60)


async def test_a_host_that_answers_its_probe_is_asked_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = HostPauses()
    monkeypatch.setattr(host_pauses, "FAILED_PAUSE_S", 0.0)
    for _ in range(FAILURES):
        fail(pauses, "one")
    with pauses.request("one"):
        pass
    pauses.hear("one")
    monkeypatch.setattr(host_pauses, "FAILED_PAUSE_S", 60.0)
    for _ in range(FAILURES - 1):
        fail(pauses, "one")
    with pauses.request("one"):
        pass


async def test_a_host_that_does_not_answer_is_left_alone() -> None:
    """After three requests in a row; a whole answer in between begins the count anew."""
    pauses = HostPauses()
    for _ in range(FAILURES - 1):
        pauses.fail("one")
    pauses.hear("one")
    for _ in range(FAILURES - 1):
        pauses.fail("one")
    with pauses.request("one"):
        pass
    pauses.fail("one")
    with pytest.raises(StorageBusy), pauses.request("one"):
        pytest.fail("the host was asked")
    with pauses.request("two"):
        pass
