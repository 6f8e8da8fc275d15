"""A check-up of the stand-in site: what is well, and what each thing that may be wrong is called."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from proxy.doctor import picture
from proxy.doctor.examination import examine
from proxy.doctor.finding import Finding, Verdict
from proxy.settings import CloudreveSettings, GrantSettings, PictureSettings, RedisSettings, Settings
from proxy.standin.faults import HTML, Fault, Hang, Huge, Reset, Says
from proxy.standin.standin import StandIn
from tests.harness.redis_server import RedisServer, free_port

OK, ADVICE, PROBLEM = Verdict.OK, Verdict.ADVICE, Verdict.PROBLEM


@pytest.fixture
def uri(cloudreve: StandIn) -> str:
    return f"cloudreve://{cloudreve.library.share.id}@share/one.png"


def says(**answer: object) -> Says:
    return Says(json.dumps(answer).encode(), "application/json")


def site(cloudreve: StandIn, **settings: object) -> CloudreveSettings:
    """Configure the gateway for the stand-in."""
    return CloudreveSettings.model_validate({"url": cloudreve.own_url} | settings)


def about(subject: str, findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.subject == subject]


def verdicts(findings: list[Finding]) -> list[tuple[str, Verdict]]:
    """Give what was looked at and how it is."""
    return [(finding.subject, finding.verdict) for finding in findings]


async def test_all_is_well(cloudreve: StandIn, uri: str, start_redis: Callable[..., RedisServer]) -> None:
    """The whole way is looked at, in the order in which it is gone; nothing is left behind."""
    server = start_redis(**{"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"})
    redis = RedisSettings.model_validate({"url": server.url})
    findings = await examine(Settings(cloudreve=site(cloudreve), redis=redis), uri)
    assert verdicts(findings) == [
        (subject, OK)
        for subject in (
            *("cloudreve", "latency", "clock", "site URL", "resolve", "image URL", "fetch"),
            *("formats", "formats", "encoders"),
            *["redis"] * 4,
        )
    ]
    assert "Cloudreve 4.14.0" in findings[0].text
    assert "image/png" in about("fetch", findings)[0].text
    assert not server.command("DBSIZE")


async def test_without_a_uri_the_way_of_a_picture_is_not_tried(cloudreve: StandIn) -> None:
    """This is advice: nothing is known to be wrong."""
    findings = await examine(Settings(cloudreve=site(cloudreve)), None)
    assert verdicts(findings) == [
        ("cloudreve", OK),
        ("latency", OK),
        ("clock", OK),
        ("site URL", OK),
        ("picture", ADVICE),
        ("redis", OK),
    ]


async def test_a_site_that_is_away_is_told_once_and_redis_is_looked_at_all_the_same(uri: str) -> None:
    """Everything else about Cloudreve would only be a consequence."""
    settings = Settings(cloudreve=CloudreveSettings(url=f"http://127.0.0.1:{free_port()}"))
    findings = await examine(settings, uri)
    assert verdicts(findings) == [("cloudreve", PROBLEM), ("redis", OK)]
    assert "connection refused" in findings[0].text


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda: Says(HTML, "text/html", 404), "HTTP 404"),
        (lambda: says(code=0, data=None), "not as Cloudreve v4 does"),
        (lambda: Says(b"", "text/html", 301, {"Location": "https://cloud.example.com/?token=S3CRET"}), "redirects to"),
        (Reset, "breaks off"),
        (Hang, "no answer within 0.2 s"),
    ],
)
async def test_another_server_in_place_of_cloudreve_is_reported(
    fault: Callable[[], Fault], told: str, cloudreve: StandIn
) -> None:
    played = fault()
    cloudreve.fail("ping", played)
    timeout_s = 0.2 if isinstance(played, Hang) else 10.0
    (finding, _) = await examine(Settings(cloudreve=site(cloudreve, whoami_timeout_s=timeout_s)), None)
    assert (finding.subject, finding.verdict) == ("cloudreve", PROBLEM)
    assert told in finding.text
    assert "S3CRET" not in finding.text


@pytest.mark.parametrize(("version", "verdict"), [("4.14.0-pro", OK), ("3.8.3", PROBLEM)])
async def test_the_version_has_to_be_4(version: str, verdict: Verdict, cloudreve: StandIn) -> None:
    cloudreve.fail("ping", says(code=0, data=version))
    findings = await examine(Settings(cloudreve=site(cloudreve)), None)
    assert about("cloudreve", findings)[0].verdict is verdict


@pytest.mark.parametrize(("offset_s", "told"), [(1200.0, "1200 s ahead of"), (-1200.0, "1200 s behind")])
async def test_clocks_that_differ_are_advice(offset_s: float, told: str, cloudreve: StandIn, uri: str) -> None:
    """The gateway allows for it, so that pictures still come."""
    cloudreve.clock_offset_s = offset_s
    findings = await examine(Settings(cloudreve=site(cloudreve)), uri)
    (clock,) = about("clock", findings)
    assert clock.verdict is ADVICE
    assert told in clock.text.replace("1199", "1200").replace("1201", "1200")
    assert about("fetch", findings)[0].verdict is OK


async def test_an_unnamed_origin_of_the_site_is_told_with_the_line_to_paste(cloudreve: StandIn, uri: str) -> None:
    """The image URLs begin with it; with the line in place all is well."""
    cloudreve.site_url = "https://cloud.invalid"
    findings = await examine(Settings(cloudreve=site(cloudreve, public_origins=["https://old.invalid"])), uri)
    (told,) = about("image URL", findings)
    assert told.verdict is PROBLEM
    assert told.remedy == '[cloudreve]\npublic_origins = ["https://old.invalid", "https://cloud.invalid"]'
    assert about("fetch", findings)[0].verdict is PROBLEM
    mended = await examine(Settings(cloudreve=site(cloudreve, public_origins=["https://cloud.invalid"])), uri)
    assert {finding.subject for finding in mended if finding.verdict is not OK} == {"reverse proxy"}  # of no such host


async def test_an_unlisted_storage_host_is_told_with_the_line_to_paste(cloudreve: StandIn, uri: str) -> None:
    """Its address is not public; with the line in place all is well."""
    cloudreve.foreign = True
    findings = await examine(Settings(cloudreve=site(cloudreve, image_hosts=["old.invalid"])), uri)
    (told,) = about("image URL", findings)
    host = cloudreve.foreign_url.removeprefix("http://")
    assert told.verdict is PROBLEM
    assert told.remedy == f'[cloudreve]\nimage_hosts = ["old.invalid", "{host}"]'
    mended = await examine(Settings(cloudreve=site(cloudreve, image_hosts=[host])), uri)
    assert {finding.verdict for finding in mended} == {OK}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("my/album/one.png", "Only a signed-in user"),
        ("share/one.png", "names no share"),
        ("{private}@share/one.png", "share password"),
        ("{share}@share/absent.png", "no such path"),
        ("nonsense", "unknown file system"),
    ],
)
async def test_a_uri_that_nobody_may_see_is_told_in_plain_words(path: str, told: str, cloudreve: StandIn) -> None:
    library = cloudreve.library
    uri = "cloudreve://" + path.format(private=library.private_share.id, share=library.share.id)
    findings = await examine(Settings(cloudreve=site(cloudreve)), uri)
    (finding,) = about("resolve", findings)
    assert finding.verdict is PROBLEM
    assert told in finding.text
    assert ("code" in finding.text) == bool(cloudreve.calls.of("resolve"))
    assert ("public share" in finding.text) == ("signed-in" in finding.text)


async def test_a_thumbnail_that_is_being_generated_is_waited_for(
    cloudreve: StandIn, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A while: then it is told."""
    monkeypatch.setattr(picture, "PAUSE_S", 0.0)
    conflict = says(code=40073, data=[], msg="Lock conflict")
    cloudreve.fail("resolve", conflict, times=picture.ATTEMPTS - 1)
    assert about("resolve", await examine(Settings(cloudreve=site(cloudreve)), uri))[0].verdict is OK
    cloudreve.fail("resolve", conflict)
    (finding,) = about("resolve", await examine(Settings(cloudreve=site(cloudreve)), uri))
    assert finding.verdict is PROBLEM
    assert "40073" in finding.text


@pytest.mark.parametrize(
    ("bound", "told"),
    [("SLOW_GENERATION_S", "generating it was slow"), ("SLOW_S", "slow for a thumbnail that is there")],
)
async def test_a_slow_resolve_is_advice(
    bound: str, told: str, cloudreve: StandIn, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert getattr(picture, bound) < 4.0
    monkeypatch.setattr(picture, bound, 0.0)
    [finding] = about("resolve", await examine(Settings(cloudreve=site(cloudreve)), uri))
    assert (finding.verdict, told in finding.text) == (ADVICE, True)


async def test_a_grant_too_short_to_be_kept_is_advice(cloudreve: StandIn, uri: str) -> None:
    """Every request would ask Cloudreve."""
    cloudreve.url_life_s = 30
    findings = await examine(Settings(cloudreve=site(cloudreve), grants=GrantSettings(margin_s=60)), uri)
    assert about("resolve", findings)[0].verdict is ADVICE


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda: Says(HTML, "image/png"), "not a picture"),
        (lambda: Huge(200_000), "larger than 100000 bytes"),
        (lambda: says(code=40005), "no longer honoured"),
    ],
)
async def test_an_answer_in_place_of_a_picture_is_reported(
    fault: Callable[[], Fault], told: str, cloudreve: StandIn, uri: str
) -> None:
    cloudreve.fail("fetch", fault())
    settings = Settings(cloudreve=site(cloudreve), pictures=PictureSettings(max_bytes=100_000))
    findings = await examine(settings, uri)
    assert about("image URL", findings)[0].verdict is OK
    (finding,) = about("fetch", findings)
    assert finding.verdict is PROBLEM
    assert told in finding.text
