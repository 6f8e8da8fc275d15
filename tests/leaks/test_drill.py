"""The random drill of two replicas, real Redis and Cloudreve, for seconds; `deploy/leaks` plays it for minutes."""

from __future__ import annotations

import os
from io import BytesIO

import pytest
from PIL import Image

from deploy.drills.leaks.findings import Findings
from deploy.drills.leaks.pictures import NotWhole, draw, number_of
from deploy.drills.leaks.play import play
from deploy.drills.leaks.truth import PUBLIC, Share, Target, Truth, Window

SECONDS = 5.0
USUAL = (
    "200 for a picture",
    "304 for a picture",
    "200 for a picture with a cookie",
    "200 for a sealed URL",
    "owners: roam",
    "sign-out 204",
    "public",
)


@pytest.fixture
async def findings() -> Findings:
    """Play it once: on a real Cloudreve where the environment names one."""
    found = Findings()
    await play(found, os.environ.get("CLOUDREVE_URL"), SECONDS, SECONDS, seed=1)
    return found


async def test_nothing_is_shown_that_cloudreve_does_not_grant(findings: Findings) -> None:
    assert not findings.violations, findings.examples
    assert not [what for what in USUAL if not findings.counts[what]], findings.counts
    assert any(what.startswith("Redis ") for what in findings.counts)


@pytest.mark.parametrize("number", [1, 31, 32, 32**3 - 1])
def test_a_picture_tells_its_version(number: int) -> None:
    body = draw(number)

    assert number_of(body) == number
    for half in (body[: len(body) // 2], body[:-1], body.replace(b"IDAT", b"IDAt"), b""):
        with pytest.raises(NotWhole):
            number_of(half)


@pytest.mark.parametrize(("kind", "quality"), [("WEBP", 60), ("AVIF", 50)])
def test_a_lossy_copy_tells_the_same_version(kind: str, quality: int) -> None:
    for number in range(1, 32**3, 1021):
        copy = BytesIO()
        Image.open(BytesIO(draw(number))).resize((40, 30)).save(copy, kind, quality=quality)
        assert number_of(copy.getvalue()) == number
    with pytest.raises(NotWhole):
        number_of(copy.getvalue()[:-9])


def test_a_moved_file_is_granted_at_its_new_place() -> None:
    truth = Truth("press", "/press")
    truth.put("press", "/press/d/a.png", 7, 1.0).done(2.0)
    truth.move("press", "/press/d", "/private/d", 5.0).done(6.0)
    old, new = Target("my", "", "/press/d/a.png"), Target("my", "", "/private/d/a.png")

    assert truth.shown(PUBLIC, old, Window(3.0, 4.0)) == {7}
    assert truth.surely_shown(PUBLIC, old, Window(3.0, 4.0))
    assert truth.shown("press", old, Window(5.5, 5.5)) == truth.shown("press", new, Window(5.5, 5.5)) == {7}
    assert not truth.surely_shown("press", new, Window(5.5, 7.0))
    assert truth.shown(PUBLIC, old, Window(6.5, 7.0)) == truth.shown(PUBLIC, new, Window(6.5, 7.0)) == set()
    assert truth.shown("anna", new, Window(6.5, 7.0)) == set()


def test_a_share_is_granted_while_it_is_open_to_those_with_its_password() -> None:
    """And to nobody else."""
    truth, share = Truth("press", "/press"), Share("s1", "anna", "/shared", "pw")
    truth.put("anna", "/shared/a.png", 7, 1.0).done(2.0)
    truth.open(share, 3.0, 4.0)
    target, now = Target("share", "s1", "/a.png", "pw"), Window(5.0, 5.0)

    assert truth.shown(PUBLIC, target, now) == truth.shown("ben", target, now) == {7}
    assert truth.shown("anna", Target("share", "s1", "/a.png", "wrong"), now) == set()
    truth.close(share, 6.0).done(7.0)
    assert truth.shown(PUBLIC, target, Window(8.0, 9.0)) == set()
