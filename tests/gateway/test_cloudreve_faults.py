"""Cloudreve away, hanging or talking nonsense: a true status in time, nothing stored, and hits go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from proxy.standin import faults
from proxy.standin.faults import Fault, Says, json_body
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, in_share

LINK = '{{"code":0,"data":{{"url":"{url}","expires":{expires}}},"msg":""}}'
LATER = '"2099-01-01T00:00:00.5Z"'


@dataclass(frozen=True)
class Case:
    """A fault of the resolve and what a visitor is told of it."""

    id: str
    fault: Callable[[], Fault]
    status: int = 502


def linked(url: str, expires: str = LATER) -> Fault:
    return json_body(LINK.format(url=url, expires=expires))


CASES = (
    Case("reset", faults.Reset, 503),
    Case("truncated", faults.Truncated),
    Case("no JSON", lambda: json_body("no JSON")),
    Case("nothing", lambda: json_body("")),
    Case("no text", lambda: Says(b"\xff\xfe\x00", "application/json")),
    Case("null", lambda: json_body("null")),
    Case("a list", lambda: json_body("[]")),
    Case("no code", lambda: json_body('{"data":{"url":"x"}}')),
    Case("a code that is a text", lambda: json_body('{"code":"0","data":{"url":"x"}}')),
    Case("success without data", lambda: json_body('{"code":0}')),
    Case("success with null", lambda: json_body('{"code":0,"data":null}')),
    Case("a url that is a number", lambda: json_body('{"code":0,"data":{"url":5}}')),
    Case("an end that is no time", lambda: linked("http://127.0.0.1/", '"soon"')),
    Case("an end without a zone", lambda: linked("http://127.0.0.1/", '"2099-01-01T00:00:00"')),
    Case("an unknown code", lambda: json_body('{"code":12345,"msg":"x"}')),
    Case("a huge code", lambda: json_body('{"code":99999999999999999999999}')),
    Case("deep JSON", faults.deep_json),
    Case("huge JSON", faults.huge_json),
    Case("a web page", lambda: Says(faults.HTML, "text/html")),
    Case("gzip, unasked", lambda: faults.Encoded(real=True)),
    Case("a front end's 502", lambda: faults.error_page(502), 503),
    Case("a front end's 503", lambda: faults.error_page(503), 503),
    Case("a front end's 504", lambda: faults.error_page(504), 503),
    Case("too many requests", lambda: faults.error_page(429), 503),
    Case("an error of the server", lambda: faults.error_page(500)),
    Case("no such endpoint", lambda: faults.error_page(404)),
    Case("a redirect", lambda: faults.redirect("http://127.0.0.1:1/api/v4/file/thumb")),
    *(
        Case(f"a link to {url}", lambda url=url: linked(url))  # type: ignore[misc]
        for url in ("ftp://127.0.0.1/x", "file:///etc/hostname", "/api/v4/x", "//127.0.0.1/x", "http://", "data:,x")
    ),
    Case("a link with a password", lambda: linked("http://user:pass@127.0.0.1/x")),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_a_resolve_that_fails_is_told_and_not_stored(
    cloudreve: StandIn, gateway: GatewayClient, case: Case
) -> None:
    """The status is true, the next request asks again, and what is cached is shown meanwhile."""
    cached = await gateway.ask(in_share(cloudreve, "two.png"))
    cloudreve.fail("resolve", case.fault())
    reply = await gateway.ask(in_share(cloudreve))
    assert reply.status == case.status
    assert reply.problem["title"]
    assert (reply.status == 503) == ("Retry-After" in reply.headers)
    assert (await gateway.ask(in_share(cloudreve, "two.png"))).body == cached.body
    cloudreve.mend()
    assert (await gateway.ask(in_share(cloudreve))).status == 200


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_while_whoami_fails_no_token_counts_as_anonymous(
    cloudreve: StandIn, gateway: GatewayClient, case: Case
) -> None:
    """Not even a public share is shown: whoever brings a token is somebody, or is told why not; nothing is resolved."""
    cloudreve.fail("whoami", case.fault())
    reply = await gateway.ask(in_share(cloudreve), cloudreve.token())
    assert reply.status in (502, 503)
    assert reply.problem["title"]
    assert cloudreve.calls.count("resolve") == 0
    cloudreve.mend()
    assert (await gateway.ask(in_share(cloudreve), cloudreve.token())).status == 200


async def test_no_credential_follows_a_redirect(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Neither whoami nor resolve goes where Cloudreve, or who stands before it, points to."""
    async with StandIn(size=(40, 30)) as elsewhere:
        for verb in ("whoami", "resolve"):
            cloudreve.fail(verb, faults.redirect(f"{elsewhere.own_url}/api/v4/file/thumb"), times=1)
            assert (await gateway.ask(ONE, cloudreve.token())).status == 502
        assert elsewhere.calls.all == []


async def test_cloudreve_stopped_is_told_at_once_and_hits_go_on(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """503 with Retry-After for what is not cached, however often; everything else as if nothing were the matter."""
    token = cloudreve.token()
    cached = await gateway.ask(ONE, token)
    await cloudreve.stop()
    for _ in range(5):
        missed = await gateway.ask("cloudreve://my/album/two.png", token)
        assert (missed.status, missed.headers["Retry-After"]) == (503, "2")
        assert (await gateway.ask(ONE, token)).body == cached.body
        assert (await gateway.ask(ONE, token, etag=cached.etag)).status == 304
    assert (await gateway.ask(ONE)).status == 503  # anonymous has no grant


async def test_cloudreve_back_again_is_noticed(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    gateway = await launcher.open(cloudreve={"probe_s": 0.02})
    await cloudreve.stop()
    for _ in range(5):
        assert (await gateway.ask(in_share(cloudreve))).status == 503
    cloudreve.calls.forget()
    await cloudreve.start()
    await cloudreve.calls.ended("ping")
    while (await gateway.ask(in_share(cloudreve))).status != 200:
        pass
    assert cloudreve.calls.count("resolve") == 1


async def test_a_resolve_that_hangs_is_left_by_its_visitors_alone(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """504 at the deadline; the call goes on, for its end would harm Cloudreve, and the next visitor profits."""
    hang = faults.Hang()
    cloudreve.fail("resolve", hang, times=1)
    gateway = await launcher.open(server={"deadline_s": 0.3})
    replies = await asyncio.gather(*(gateway.ask(in_share(cloudreve)) for _ in range(3)))
    assert {(reply.status, reply.headers["Retry-After"]) for reply in replies} == {(504, "2")}
    hang.until.set()
    await cloudreve.calls.ended("resolve")
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    assert [(call.code, call.left) for call in cloudreve.calls.of("resolve")] == [(0, False)]


async def test_a_whoami_that_hangs_is_given_up(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    cloudreve.fail("whoami", faults.Hang(), times=1)
    gateway = await launcher.open(cloudreve={"whoami_timeout_s": 0.1})
    assert (await gateway.ask(ONE, cloudreve.token())).status == 504
    assert (await gateway.ask(ONE, cloudreve.token())).status == 200


async def test_a_resolve_that_takes_for_ever_is_given_up(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """504 after the longest time that generating may take."""
    cloudreve.fail("resolve", faults.Hang(), times=1)
    gateway = await launcher.open(cloudreve={"resolve_timeout_s": 0.1})
    assert (await gateway.ask(in_share(cloudreve))).status == 504
    assert (await gateway.ask(in_share(cloudreve))).status == 200


async def test_answers_are_asked_for_as_they_are(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """No coding is asked for, since none is undone: a front end that compresses JSON would otherwise break all."""
    await gateway.ask(ONE, cloudreve.token())
    for verb in ("ping", "whoami", "resolve", "fetch"):
        assert {call.headers["accept-encoding"] for call in cloudreve.calls.of(verb)} == {"identity"}
