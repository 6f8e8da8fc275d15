"""Published accounts: each is signed in, and what it has published is asked for in its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.doctor.finding import Verdict
from proxy.standin.library import PASSWORD
from proxy.standin.standin import StandIn
from tests.doctor.conftest import Examine

ALBUM = "cloudreve://my/album"
ONE = f"{ALBUM}/one.png"


def entry(**values: object) -> dict[str, object]:
    return {"prefix": ALBUM, "email": "alice@example.org", "secret": PASSWORD} | values


async def test_a_published_picture_is_asked_for_as_it_will_be_shown(cloudreve: StandIn, found: Examine) -> None:
    """In the account's name; nobody else may see it."""
    [resolve] = await found("resolve", ONE, publish=[entry()])
    assert resolve.verdict is Verdict.OK
    assert "to the account of [[publish]] number 1" in resolve.text
    assert {call.identity for call in cloudreve.calls.of("resolve")} == {cloudreve.library.alice.id}


async def test_an_account_that_is_well_is_told_with_its_folder_and_its_events(found: Examine) -> None:
    assert [finding.verdict for finding in await found("account", publish=[entry()])] == [Verdict.OK]
    assert [finding.verdict for finding in await found("events", publish=[entry()])] == [Verdict.OK]
    assert await found("events") == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"secret": "S3CRET"}, "does not accept its e-mail address and password"),
        ({"email": None, "secret": "S3CRET"}, "does not accept its refresh token"),
        ({"prefix": "cloudreve://my/Album"}, "no folder at its prefix"),
    ],
)
async def test_an_account_that_cannot_show_its_folder_is_a_problem(
    values: dict[str, object], told: str, found: Examine
) -> None:
    """Each with its reason, and without its secret; the others are tried all the same."""
    bad, good = await found("account", publish=[entry(**values), entry()])
    assert (bad.verdict, good.verdict) == (Verdict.PROBLEM, Verdict.OK)
    assert told in bad.text
    assert "number 1" in bad.text
    assert "S3CRET" not in bad.text


async def test_a_secret_file_that_is_gone_is_told(found: Examine, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("S3CRET")
    [finding] = await found("account", publish=[entry(secret=None, secret_file=str(secret))])
    assert "does not accept" in finding.text


async def test_the_picture_of_an_account_that_cannot_sign_in_is_not_tried(cloudreve: StandIn, found: Examine) -> None:
    """Its refusal would say something else."""
    [resolve] = await found("resolve", ONE, publish=[entry(secret="wrong")])
    assert resolve.verdict is Verdict.PROBLEM
    assert "has to sign in for it" in resolve.text
    assert not cloudreve.calls.of("resolve")


@pytest.mark.parametrize(("life_s", "is_told"), [(14 * 86_400, False), (2 * 86_400, True)])
async def test_a_refresh_token_that_ends_soon_is_advice(
    life_s: float, is_told: bool, cloudreve: StandIn, found: Examine
) -> None:
    """A restart after its end would not take it."""
    token = cloudreve.issue(cloudreve.library.alice, "refresh", life_s, root="root")
    findings = await found("account", publish=[entry(email=None, secret=token)])
    assert [finding.verdict for finding in findings] == [Verdict.OK] + [Verdict.ADVICE] * is_told
    assert not is_told or "2.0 days" in findings[1].text


async def test_a_site_without_events_is_advice(cloudreve: StandIn, found: Examine) -> None:
    cloudreve.has_events = False
    [finding] = await found("events", publish=[entry()])
    assert finding.verdict is Verdict.ADVICE
    assert "number 1" in finding.text
