"""Which tokens count: asked of Cloudreve, or checked here with the site's secret key, with the same outcome."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable

import pytest

from proxy.standin.signing import Token, issue
from proxy.standin.site import SECRET
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, in_share

KEY: dict[str, object] = {"secret_key": SECRET}


def part(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed(cloudreve: StandIn, secret: str = SECRET, **changes: object) -> str:
    """Sign a token of alice's, with other claims."""
    now = cloudreve.now()
    claims = {"kind": "access", "subject": cloudreve.library.alice.id, "not_before": now, "expires": now + 100}
    return issue(Token(**{**claims, **changes}), secret)  # type: ignore[arg-type]


def unsigned(cloudreve: StandIn) -> str:
    """Claim to be alice, and that no signature is needed."""
    claims = {"token_type": "access", "sub": cloudreve.library.alice.id, "exp": int(cloudreve.now()) + 100, "nbf": 0}
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def resigned(cloudreve: StandIn) -> str:
    """Take a good signature to claims that it was not made for."""
    head, _, signature = signed(cloudreve).split(".")
    return f"{head}.{part({'token_type': 'access', 'sub': cloudreve.library.bob.id, 'exp': 2**40})}.{signature}"


TOKENS: dict[str, tuple[Callable[[StandIn], str], int]] = {
    "of a user": (lambda c: c.token(), 200),
    "of another user": (lambda c: c.token("bob"), 404),
    "of a client that may read": (lambda c: c.token(client="app", scopes=("openid", "Files.Read")), 200),
    "of a client that may write": (lambda c: c.token(client="app", scopes=("openid", "Files.Write")), 200),
    "of a client without a right to files": (lambda c: c.token(client="app", scopes=("openid",)), 403),
    "that has expired": (lambda c: c.token(life_s=-10), 401),
    "that is not valid yet": (lambda c: signed(c, not_before=c.now() + 1000, expires=c.now() + 2000), 401),
    "for refreshing": (lambda c: c.token(kind="refresh"), 401),
    "of no kind": (lambda c: signed(c, kind=""), 401),
    "signed with another key": (lambda c: signed(c, secret="another-key"), 401),
    "signed with no key": (lambda c: signed(c, secret=""), 401),
    "not signed": (unsigned, 401),
    "signed for something else": (resigned, 401),
    "cut off": (lambda c: c.token()[:-1], 401),
    "with a dot too many": (lambda c: c.token() + ".", 401),
    "of two parts": (lambda c: c.token().rpartition(".")[0], 401),
    "with rubbish inside": (lambda c: c.token().replace(".", "~.", 1), 401),
    "that is none": (lambda _: "garbage", 401),
    "of a single character": (lambda _: "-", 401),
    "as long as a header may be": (lambda _: "a" * 8000, 401),
}


@pytest.fixture(params=[{}, KEY], ids=["asked", "checked here"])
async def front_of_both(request: pytest.FixtureRequest, launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway that asks whose a token is, and one that knows the site's key."""
    return await launcher.open(cloudreve=request.param)


@pytest.mark.parametrize(("make", "status"), TOKENS.values(), ids=TOKENS)
async def test_a_token_counts_or_does_not(
    cloudreve: StandIn, front_of_both: GatewayClient, make: Callable[[StandIn], str], status: int
) -> None:
    """The first time and when it is remembered; a token that does not count is not anonymous on a public share."""
    token = make(cloudreve)
    for _ in range(2):
        assert (await front_of_both.ask(ONE, token)).status == status
    assert (await front_of_both.ask(in_share(cloudreve), token)).status == (status if status in (401, 403) else 200)
    if status == 401:
        assert cloudreve.calls.count("resolve") == 0


async def test_with_the_key_nobody_is_asked(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """Users, clients and rubbish are told apart without a single whoami, Cloudreve being away or not."""
    gateway = await launcher.open(cloudreve=KEY)
    assert (await gateway.ask(ONE, cloudreve.token())).status == 200
    assert (await gateway.ask(ONE, "garbage")).status == 401
    await cloudreve.stop()
    assert (await gateway.ask(ONE, cloudreve.token(life_s=50))).is_hit
    assert (await gateway.ask(ONE, "rubbish")).status == 401
    assert cloudreve.calls.count("whoami") == 0


@pytest.mark.parametrize("ahead_s", [1200, -1200])
async def test_a_token_is_checked_by_cloudreves_clock(
    cloudreve: StandIn, launcher: GatewayLauncher, ahead_s: float
) -> None:
    """Our own is 20 minutes off: a fresh token counts, one that ended a minute ago does not."""
    gateway = await launcher.open(cloudreve=KEY, skew_s=ahead_s)
    assert (await gateway.ask(ONE, signed(cloudreve))).status == 200
    assert (await gateway.ask(ONE, signed(cloudreve, expires=cloudreve.now() - 60))).status == 401


async def test_a_key_that_is_not_the_sites_lets_nobody_in(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """Neither does what is signed with it show anything: Cloudreve itself takes such a token for anonymous."""
    gateway = await launcher.open(cloudreve={"secret_key": "another-key"})
    assert (await gateway.ask(ONE, cloudreve.token())).status == 401
    assert (await gateway.ask(ONE, signed(cloudreve, secret="another-key"))).status == 401
