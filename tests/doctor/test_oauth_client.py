"""The OAuth client: what can be tried without a person."""

from __future__ import annotations

import pytest

from proxy.doctor.finding import Verdict
from proxy.standin.standin import StandIn
from tests.doctor.conftest import Examine
from tests.doctor.test_accounts import entry

SERVER = {"public_origin": "http://127.0.0.1:8080"}


def client(cloudreve: StandIn, **values: str) -> dict[str, str]:
    return {"client_id": cloudreve.client.id, "client_secret": cloudreve.client.secret} | values


async def test_nothing_is_said_where_there_is_none(found: Examine) -> None:
    assert await found("sign-in") == []


async def test_with_a_published_account_the_whole_way_is_tried(cloudreve: StandIn, found: Examine) -> None:
    [finding] = await found("sign-in", server=SERVER, sign_in=client(cloudreve), publish=[entry()])
    assert finding.verdict is Verdict.OK
    assert [call.verb for call in cloudreve.calls.of("exchange")] == ["exchange"]
    assert cloudreve.revoked


async def test_without_an_account_it_is_said_what_is_not_known(cloudreve: StandIn, found: Examine) -> None:
    """A code that was never given out tells nothing of the secret, and so none is tried."""
    [finding] = await found("sign-in", server=SERVER, sign_in=client(cloudreve, client_secret="S3CRET"))
    assert finding.verdict is Verdict.ADVICE
    assert "http://127.0.0.1:8080/session/callback" in finding.text
    assert not cloudreve.calls.of("exchange")


@pytest.mark.parametrize("with_account", [False, True])
async def test_an_unknown_client_is_a_problem(with_account: bool, cloudreve: StandIn, found: Examine) -> None:
    publish = [entry()] if with_account else []
    [finding] = await found("sign-in", server=SERVER, sign_in=client(cloudreve, client_id="no"), publish=publish)
    assert finding.verdict is Verdict.PROBLEM
    assert "sign_in.client_id" in finding.text


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"sign_in": {"client_secret": "S3CRET"}}, "sign_in.client_secret"),
        ({"server": {"public_origin": "http://other.example"}}, "http://other.example/session/callback"),
        ({"session": {"path": "/api/session"}}, "http://127.0.0.1:8080/api/session/callback"),
        ({"sign_in": {"scopes": "openid Files.Write"}}, "sign_in.scopes"),
    ],
)
async def test_settings_that_do_not_fit_are_named(
    tables: dict[str, dict[str, str]], told: str, cloudreve: StandIn, found: Examine
) -> None:
    given = {"server": SERVER, "publish": [entry()]} | tables
    given["sign_in"] = client(cloudreve, **tables.get("sign_in", {}))
    [finding] = await found("sign-in", **given)
    assert finding.verdict is Verdict.PROBLEM
    assert told in finding.text
    assert "S3CRET" not in finding.text
