"""The link of a page in the place of a File URI."""

from __future__ import annotations

import pytest

from proxy.doctor.finding import Verdict
from proxy.standin.library import SHARE_PASSWORD
from proxy.standin.standin import StandIn
from tests.doctor.conftest import Examine


@pytest.mark.parametrize(
    ("link", "uri"),
    [
        ("https://cloud.example.com/s/{share}", "cloudreve://{share}@share/one.png"),
        ("http://127.0.0.1:5212/s/{share}/?utm=1", "cloudreve://{share}@share/one.png"),
        ("https://cloud.example.com/s/{private}/{password}", "cloudreve://{private}:{password}@share/one.png"),
        ("https://cloud.example.com/s/{file}", "cloudreve://{file}@share/one.png"),
        ("https://cloud.example.com/home?path=cloudreve%3A%2F%2F{share}%40share", "cloudreve://{share}@share/one.png"),
        (
            "https://cloud.example.com/home?path=cloudreve%3A%2F%2F{share}%40share%2Ftwo.png",
            "cloudreve://{share}@share/two.png",
        ),
    ],
)
async def test_the_link_of_a_share_leads_to_a_picture_of_it(
    link: str, uri: str, cloudreve: StandIn, found: Examine
) -> None:
    """The first of a folder, or the file itself; whatever host the link names, Cloudreve is asked where it is."""
    library = cloudreve.library
    ids = {"share": library.share.id, "private": library.private_share.id, "file": library.file_share.id}
    given = ids | {"password": SHARE_PASSWORD}
    [resolve] = await found("resolve", link.format(**given))
    assert resolve.verdict is Verdict.OK, resolve.text
    assert cloudreve.calls.of("resolve")[0].target == uri.format(**given)


async def test_a_picture_with_an_unusual_name_is_found(cloudreve: StandIn, found: Examine) -> None:
    share = cloudreve.library.publish(cloudreve.library.alice, "/odd")
    for path in ("/odd/a.txt", "/odd/100% #1?.png"):
        cloudreve.library.put(cloudreve.library.alice, path)
    [resolve] = await found("resolve", f"https://cloud.example.com/s/{share.id}")
    assert resolve.verdict is Verdict.OK, resolve.text


@pytest.mark.parametrize(
    ("link", "subject", "told"),
    [
        ("https://cloud.example.com/", "picture", "accepted is a File URI"),
        ("https://cloud.example.com/photos", "picture", "accepted is a File URI"),
        ("https://[", "picture", "accepted is a File URI"),
        ("https://cloud.example.com/s/nosuch", "resolve", "no such share"),
        ("https://cloud.example.com/s/{private}", "resolve", "share password"),
        ("https://cloud.example.com/s/{empty}", "picture", "no picture at the top of this share"),
    ],
)
async def test_a_link_that_leads_to_no_picture_is_told(
    link: str, subject: str, told: str, cloudreve: StandIn, found: Examine
) -> None:
    library = cloudreve.library
    library.put(library.alice, "/texts/a.txt")
    given = {"private": library.private_share.id, "empty": library.publish(library.alice, "/texts").id}
    [finding] = await found(subject, link.format(**given))
    assert finding.verdict is Verdict.PROBLEM
    assert told in finding.text


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("cloudreve://nosuch@share/one.png", "no such share"),
        ("cloudreve://{share}@share/absent.png", "no such path"),
        ("cloudreve://{notes}@share/notes.txt", "could not make its thumbnail"),
        ("cloudreve://{share}@share", "has no thumbnail"),
    ],
)
async def test_share_path_and_thumbnail_are_told_apart(uri: str, told: str, cloudreve: StandIn, found: Examine) -> None:
    library = cloudreve.library
    given = {"share": library.share.id, "notes": library.publish(library.alice, "/notes.txt").id}
    [finding] = await found("resolve", uri.format(**given))
    assert finding.verdict is Verdict.PROBLEM
    assert told in finding.text
