"""The calls to Cloudreve's API: what is sent, and what its answers become."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import quote

import aiohttp
import pytest

from proxy.domain.credentials import Credentials
from proxy.domain.errors import ProxyError, TooSlow, Unreachable, UpstreamError
from proxy.domain.file_uri import FileUri, parse
from proxy.domain.grant import Grant
from proxy.domain.identity import Identity, IdentityKind
from proxy.domain.keys import fields_digest, grant_key
from proxy.domain.refusal import Generating, Refusal, RefusalKind
from proxy.domain.request_fields import TICKET
from proxy.domain.ssrf import Origins
from proxy.domain.storage_errors import BrokenOff
from proxy.observe.span import Observer
from proxy.settings import CloudreveSettings, GrantSettings
from proxy.standin.faults import error_page, json_body
from proxy.standin.standin import StandIn
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve, translated

NOBODY = Credentials()
ONE = parse("cloudreve://my/album/one.png", 4096)


@pytest.fixture
async def site() -> AsyncIterator[StandIn]:
    async with StandIn(size=(40, 30)) as standin:
        yield standin


@pytest.fixture
def clock() -> Clock:
    """Give a clock that knows nothing of Cloudreve yet."""
    return Clock()


@pytest.fixture
async def cloudreve(site: StandIn, clock: Clock) -> AsyncIterator[Cloudreve]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        settings = CloudreveSettings.model_validate({"url": site.own_url})
        yield Cloudreve(session, clock, Origins(site.own_url), Observer(), settings, GrantSettings())


def shared(site: StandIn, name: str = "one.png") -> FileUri:
    return parse(f"cloudreve://{site.library.share.id}@share/{name}", 4096)


async def test_a_grant_names_the_picture_and_its_end(site: StandIn, cloudreve: Cloudreve) -> None:
    """Ten seconds before the end that Cloudreve set, by its clock; its own picture keeps its name."""
    site.clock_offset_s = 5000
    grant = await cloudreve.resolve(shared(site), NOBODY)
    again = await cloudreve.resolve(shared(site), NOBODY)
    assert isinstance(grant, Grant)
    assert isinstance(again, Grant)
    assert grant.fresh_until == pytest.approx(site.now() + 3590, abs=2)
    assert (grant.own, grant.picture) == (True, again.picture)
    assert grant.url.startswith(site.own_url)
    assert "sign" not in repr(grant)


@pytest.mark.parametrize(
    "name", ["a b", "a+b", "a&b", "a=b", "a#b", "a%b", "a?b", "a;b", "日落", "a'b\"c", "..a", "a%2Fb"]
)
async def test_a_name_reaches_cloudreve_as_it_is(site: StandIn, cloudreve: Cloudreve, name: str) -> None:
    """Whatever characters it holds: the URI that Cloudreve reads is, to the byte, the one that keys the cache."""
    uri = parse(f"cloudreve://my/{quote(name, safe='')}", 4096)
    await cloudreve.resolve(uri, Credentials(site.token()))
    assert site.calls.of("resolve")[0].target == uri.text


async def test_a_refusal_is_a_value_with_code_and_correlation_id(site: StandIn, cloudreve: Cloudreve) -> None:
    """So that it can be kept."""
    refusal = await cloudreve.resolve(ONE, NOBODY)
    assert isinstance(refusal, Refusal)
    assert (refusal.kind, refusal.code) == (RefusalKind.UNAUTHENTICATED, 401)
    assert refusal.correlation_id


@pytest.mark.parametrize("code", [409, 40004, 40073, 50004])
async def test_generating_is_neither(site: StandIn, cloudreve: Cloudreve, code: int) -> None:
    site.fail("resolve", json_body(f'{{"code":{code},"correlation_id":"x-1"}}'))
    assert await cloudreve.resolve(shared(site), NOBODY) == Generating(code, "x-1")


async def test_credentials_are_sent_as_they_came_and_to_the_api_alone(site: StandIn, cloudreve: Cloudreve) -> None:
    """Token and ticket with a resolve, the token with a whoami, none with a ping."""
    token = site.token()
    await cloudreve.resolve(ONE, Credentials(token, ((TICKET, "a-ticket"),)))
    assert await cloudreve.whoami(token) == site.library.alice.id
    await cloudreve.ping()
    resolve, whoami, ping = (site.calls.of(verb)[0].headers for verb in ("resolve", "whoami", "ping"))
    assert (resolve["authorization"], resolve["x-cr-purchase-ticket"]) == (f"Bearer {token}", "a-ticket")
    assert whoami["authorization"] == f"Bearer {token}"
    assert "x-cr-purchase-ticket" not in whoami
    assert "authorization" not in ping


async def test_a_visitor_without_credentials_sends_none(site: StandIn, cloudreve: Cloudreve) -> None:
    """Cloudreve would take a made-up token for none, so that nobody else would notice."""
    await cloudreve.resolve(shared(site), NOBODY)
    assert not {"authorization", "x-cr-purchase-ticket"} & site.calls.of("resolve")[0].headers.keys()


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, Unreachable), (502, Unreachable), (503, Unreachable), (504, Unreachable), (500, UpstreamError)],
)
async def test_a_front_end_that_answers_for_cloudreve_says_that_it_is_away(
    site: StandIn, cloudreve: Cloudreve, status: int, error: type[ProxyError]
) -> None:
    """To ask again may help then; with any other page in place of JSON it does not."""
    site.fail("resolve", error_page(status))
    with pytest.raises(error):
        await cloudreve.resolve(shared(site), NOBODY)


async def test_all_that_goes_upstream_is_in_the_grants_key_or_constant(site: StandIn, cloudreve: Cloudreve) -> None:
    """A value that could change Cloudreve's answer and is not in the key would be a grant for the wrong visitor."""
    token = site.token()
    await cloudreve.resolve(ONE, Credentials(token, ((TICKET, "bought"),), cookie="sealed"))
    await cloudreve.whoami(token)
    resolve, whoami = site.calls.of("resolve")[0], site.calls.of("whoami")[0]
    constant = {"accept": "application/json", "accept-encoding": "identity"}
    sent = {name: value for name, value in resolve.headers.items() if name not in ("host", "user-agent")}
    assert sent == constant | {"authorization": f"Bearer {token}", "x-cr-purchase-ticket": "bought"}
    assert resolve.target == ONE.text
    sent = {name: value for name, value in whoami.headers.items() if name not in ("host", "user-agent")}
    assert sent == constant | {"authorization": f"Bearer {token}"}
    alice = Identity(IdentityKind.USER, "alice")
    keys = {
        grant_key(alice, ONE),
        grant_key(replace(alice, subject="bob"), ONE),
        grant_key(replace(alice, client="app", scopes=("Files.Read",)), ONE),
        grant_key(replace(alice, fields=fields_digest(((TICKET, "bought"),))), ONE),
        grant_key(alice, shared(site)),
    }
    assert len(keys) == 5


@pytest.mark.parametrize("token", ["garbage", "a.b.c", ""])
async def test_a_token_that_is_not_accepted_is_nobodys(site: StandIn, cloudreve: Cloudreve, token: str) -> None:
    """None, and not an error: the answer can be remembered."""
    assert await cloudreve.whoami(token) is None


async def test_cloudreves_clock_is_learnt_from_any_answer(site: StandIn, cloudreve: Cloudreve, clock: Clock) -> None:
    site.clock_offset_s = 1200
    await cloudreve.ping()
    assert clock.skew_s == pytest.approx(1200, abs=1.5)
    site.clock_offset_s = -1200
    await cloudreve.resolve(ONE, NOBODY)
    assert clock.skew_s == pytest.approx(-1200, abs=1.5)


async def test_nothing_is_called_while_cloudreve_is_known_to_be_down(site: StandIn, cloudreve: Cloudreve) -> None:
    """Three failures in a row are enough; the next call fails without being made, and a probe mends that."""
    await site.stop()
    for _ in range(3):
        with pytest.raises(Unreachable):
            await cloudreve.resolve(shared(site), NOBODY)
    await site.start()
    with pytest.raises(Unreachable):
        await cloudreve.resolve(shared(site), NOBODY)
    assert site.calls.count("resolve") == 0
    await cloudreve.breaker.probe()
    assert isinstance(await cloudreve.resolve(shared(site), NOBODY), Grant)


async def test_answers_that_are_wrong_do_not_mean_that_it_is_down(site: StandIn, cloudreve: Cloudreve) -> None:
    site.fail("resolve", json_body("null"))
    for _ in range(5):
        with pytest.raises(UpstreamError):
            await cloudreve.resolve(shared(site), NOBODY)
    assert site.calls.count("resolve") == 5


TRANSLATIONS: tuple[tuple[TimeoutError | aiohttp.ClientError, type[ProxyError]], ...] = (
    (aiohttp.ConnectionTimeoutError("secret"), Unreachable),
    (aiohttp.SocketTimeoutError("secret"), TooSlow),
    (TimeoutError("secret"), TooSlow),
    (aiohttp.ServerDisconnectedError("secret"), Unreachable),
    (aiohttp.ClientOSError("secret"), Unreachable),
    (aiohttp.ClientPayloadError("secret"), BrokenOff),
    (aiohttp.InvalidURL("secret"), UpstreamError),
)


@pytest.mark.parametrize(("error", "ours"), TRANSLATIONS)
def test_foreign_errors_become_ours_without_their_words(
    error: TimeoutError | aiohttp.ClientError, ours: type[ProxyError]
) -> None:
    translation = translated(error)
    assert type(translation) is ours
    assert "secret" not in str(translation)
