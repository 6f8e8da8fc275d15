"""Which sites may show a picture on a page, and which may read it in a script."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.http.embedding_rule import VARY, Embedding, embedding, page_of, wants_picture
from proxy.settings import EmbedSettings, SessionSettings

OWN = "https://thumbs.example.com"
BLOG = "https://blog.example.org"
CLOSED = Embedding((), ("*",))
LISTED = Embedding((BLOG,), (BLOG,))


def asked(**headers: str) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})


PAGES = [
    (asked(), None),
    (asked(sec_fetch_site="none"), None),
    (asked(sec_fetch_site="same-origin", referer=f"{OWN}/x"), None),
    (asked(sec_fetch_site="same-site", referer="https://cloud.example.com/"), None),
    (asked(sec_fetch_site="cross-site", referer=f"{BLOG}/post"), BLOG),
    (asked(sec_fetch_site="cross-site", origin=BLOG, referer="https://evil.example/"), BLOG),
    (asked(sec_fetch_site="cross-site"), "null"),
    (asked(sec_fetch_site="cross-site", referer=f"{OWN}/"), OWN),
    (asked(sec_fetch_site="nonsense"), "null"),
    (asked(referer=f"{OWN}/gallery"), None),
    (asked(origin=OWN), None),
    (asked(referer=f"{OWN}:8443/gallery"), None),
    (asked(origin=f"{OWN}:8443"), None),
    (asked(origin="http://thumbs.example.com"), "http://thumbs.example.com"),
    (asked(sec_fetch_site="cross-site", origin=f"{OWN}:8443"), f"{OWN}:8443"),
    (asked(referer=f"{BLOG}/post"), BLOG),
    (asked(referer="https://thumbs.example.com.evil.example/"), "https://thumbs.example.com.evil.example"),
    (asked(referer="https://thumbs.example.com@evil.example/"), "https://evil.example"),
    (asked(referer="HTTPS://BLOG.example.org/post"), BLOG),
    (asked(referer="http://[broken"), "null"),
    (asked(origin="null"), "null"),
]


@pytest.mark.parametrize(("headers", "page"), PAGES)
def test_the_asking_page_is_named(headers: CIMultiDict[str], page: str | None) -> None:
    assert page_of(headers, OWN) == page


@pytest.mark.parametrize(("headers", "page"), PAGES)
def test_private_pictures_are_for_pages_of_the_same_site(headers: CIMultiDict[str], page: str | None) -> None:
    assert (CLOSED.refusal(headers, OWN, is_public=False) is None) is (page is None)


@pytest.mark.parametrize(("headers", "page"), PAGES)
def test_a_list_opens_them_to_the_pages_on_it(headers: CIMultiDict[str], page: str | None) -> None:
    assert (LISTED.refusal(headers, OWN, is_public=False) is None) is (page in (None, BLOG))


@pytest.mark.parametrize(("headers", "_page"), PAGES)
def test_public_pictures_are_for_all(headers: CIMultiDict[str], _page: str | None) -> None:
    """By default; and then the fields are the same for all, so that shared caches need not vary."""
    assert CLOSED.refusal(headers, OWN, is_public=True) is None
    assert dict(CLOSED.fields(headers, OWN, is_public=True)) == {
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Access-Control-Allow-Origin": "*",
    }


def test_scripts_of_other_sites_read_nothing_private() -> None:
    """Unless they are on the list; then with credentials, and by name."""
    assert dict(CLOSED.fields(asked(origin=BLOG), OWN, is_public=False)) == {
        "Cross-Origin-Resource-Policy": "same-site"
    }
    assert dict(LISTED.fields(asked(origin=BLOG), OWN, is_public=False)) == {
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Access-Control-Allow-Origin": BLOG,
        "Access-Control-Allow-Credentials": "true",
        "Vary": VARY,
    }
    other = dict(LISTED.fields(asked(origin="https://evil.example"), OWN, is_public=False))
    assert "Access-Control-Allow-Origin" not in other


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (asked(sec_fetch_dest="image", accept="*/*"), True),
        (asked(sec_fetch_dest="empty", accept="image/*"), False),
        (asked(sec_fetch_dest="document", accept="text/html"), False),
        (asked(accept="image/avif,image/webp,*/*;q=0.8"), True),
        (asked(accept="*/*"), False),
        (asked(), False),
    ],
)
def test_an_image_request_is_told_from_others(headers: CIMultiDict[str], expected: bool) -> None:
    """By its destination; without that by what it would rather have."""
    assert wants_picture(headers) is expected


@pytest.mark.parametrize("origins", [(), (BLOG,)])
def test_shared_caches_tell_pages_apart_where_not_all_may_show_it(origins: tuple[str, ...]) -> None:
    """Or they would hand to a forbidden page what an allowed one was given."""
    assert dict(Embedding((), origins).fields(asked(), OWN, is_public=True))["Vary"] == VARY


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (asked(referer=f"{BLOG}/post?secret"), f"embed.private_origins may show this; {BLOG} is not among them."),
        (asked(sec_fetch_site="cross-site"), "embed.private_origins may show this; the asking page hides its origin."),
        (asked(origin="x\r\ny"), "embed.private_origins may show this; the asking page hides its origin."),
        (asked(referer="http://evil.example/<b>"), "; http://evil.example is not among them."),
    ],
)
def test_a_refusal_names_the_origin_and_the_setting(headers: CIMultiDict[str], said: str) -> None:
    """So that it can be copied from one into the other; nothing else that came is repeated."""
    told = CLOSED.refusal(headers, OWN, is_public=False) or ""
    assert said in told
    assert "secret" not in told
    assert "embed.public_origins" in (Embedding((), ()).refusal(headers, OWN, is_public=True) or "")


@pytest.mark.parametrize("host", ["192.168.1.5:8080", "127.0.0.1", "[fd00::1]:8080"])
def test_at_an_address_of_numbers_the_rule_alone_decides(host: str) -> None:
    """Browsers take two ports of one for the same site, and block what is for the same site."""
    own = f"http://{host}"
    page = f"http://{host.removesuffix(':8080')}:9999"
    assert CLOSED.refusal(asked(origin=page), own, is_public=False) is None
    assert CLOSED.refusal(asked(origin="http://192.168.1.6"), own, is_public=False) is not None
    assert dict(CLOSED.fields(asked(origin=page), own, is_public=False)) == {
        "Cross-Origin-Resource-Policy": "cross-origin"
    }


def test_pages_that_may_begin_sessions_may_show_what_these_open() -> None:
    """`session.origins` need not be written twice."""
    rule = embedding(EmbedSettings(public_origins=("https://other.example",)), SessionSettings(origins=(BLOG,)))
    for is_public in (False, True):
        assert rule.refusal(asked(sec_fetch_site="cross-site", origin=BLOG), OWN, is_public=is_public) is None
    said = dict(rule.fields(asked(sec_fetch_site="cross-site", referer=f"{BLOG}/x"), OWN, is_public=False))
    assert said["Cross-Origin-Resource-Policy"] == "cross-origin"
