"""An error as a page."""

from __future__ import annotations

import pytest

from proxy.domain.errors import (
    BadRequest,
    NoSuchRoute,
    ProxyError,
    Refused,
    StillGenerating,
    TooSlow,
    Unreachable,
)
from proxy.domain.refusal import Generating, Refusal, RefusalKind
from proxy.domain.sign_in_errors import SignInFailed
from proxy.http.page_texts import Language, WayOn, language_of
from proxy.http.problem_page import Link, page, prefers_page
from tests.harness.gateways import GatewayClient

CHINESE, ENGLISH = Language.CHINESE, Language.ENGLISH


@pytest.mark.parametrize(
    ("accept", "is_preferred"),
    [
        (["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"], True),
        (["Text/HTML;level=1;q=0.3"], True),
        (["application/xml", "text/html"], True),
        (["application/json;q=0.5, text/html"], True),
        (["application/json, text/html;q=0.9"], False),
        (["application/problem+json, text/html;q=0.9"], False),
        (["text/html;q=0"], False),
        (["text/html;q=x"], False),
        (["*/*"], False),
        (["text/*"], False),
        (["image/avif,image/webp,*/*;q=0.8"], False),
        ([""], False),
        ([], False),
    ],
)
def test_a_page_is_for_browsers_that_name_html(accept: list[str], is_preferred: bool) -> None:
    """A client that takes anything, as scripts and curl do, gets problem+json."""
    assert prefers_page(accept) is is_preferred


def test_a_page_says_what_problem_json_says() -> None:
    """And nothing in it is markup that came with the request."""
    text = page(BadRequest('<b>"wrong"</b>'), Link('/a?b="&c', WayOn.SIGN_IN), "id").decode()
    assert "<h1>400 Bad Request</h1>" in text
    assert "&lt;b&gt;&quot;wrong&quot;&lt;/b&gt;" in text
    assert '<a href="/a?b=&quot;&amp;c">Sign in</a>' in text
    assert "Request id" in text
    assert "href" not in page(BadRequest("x")).decode()


@pytest.mark.parametrize(
    ("accept_language", "language"),
    [
        ([], ENGLISH),
        (["zh-CN,zh;q=0.9,en;q=0.8"], CHINESE),
        (["zh-TW"], CHINESE),
        (["ZH-cn"], CHINESE),
        (["en-US,en;q=0.9,zh-CN;q=0.8"], ENGLISH),
        (["fr, zh;q=0.5, en;q=0.4"], CHINESE),
        (["de,fr;q=0.5"], ENGLISH),
        (["zh;q=0, en;q=0.1"], ENGLISH),
        (["zh;q=x"], ENGLISH),
        (["de", "zh;q=0.1"], CHINESE),
        (["*"], ENGLISH),
    ],
)
def test_a_page_is_in_the_language_that_the_browser_prefers(accept_language: list[str], language: Language) -> None:
    assert language_of(accept_language) is language


@pytest.mark.parametrize(
    ("error", "heading", "chinese", "href"),
    [
        (Unreachable("The connection to upstream failed."), "does not answer", "没有响应", ""),
        (TooSlow(), "does not answer", "没有响应", ""),
        (NoSuchRoute("There is nothing at this path."), "nothing here", "没有内容", "/"),
        (Refused(Refusal(RefusalKind.NOT_FOUND, 404, "")), "nothing here", "没有内容", "/"),
        (Refused(Refusal(RefusalKind.FORBIDDEN, 403, "")), "may not see this", "没有查看权限", "/"),
        (Refused(Refusal(RefusalKind.UNAUTHENTICATED, 401, "")), "sign in", "请先登录", None),
        (StillGenerating(Generating(40073)), "being made", "正在生成", ""),
        (SignInFailed("x"), "sign-in did not succeed", "登录没有成功", None),
    ],
)
def test_problems_that_people_meet_have_their_own_text_and_a_link(
    error: ProxyError, heading: str, chinese: str, href: str | None
) -> None:
    """In both languages; the Chinese page has the English detail as well, for whoever asks an administrator."""
    english, other = page(error).decode(), page(error, language=CHINESE).decode()
    assert heading in english
    assert '<html lang="zh-CN">' in other
    assert chinese in other
    assert (error.detail or error.title) in other
    for text in (english, other):
        assert (f'<a href="{href}">' in text) if href is not None else ("href" not in text)


async def test_a_browser_gets_the_page_in_its_language(gateway: GatewayClient) -> None:
    """Over HTTP."""
    headers = {"Accept": "text/html", "Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}
    reply = await gateway.send("GET", "/nowhere", headers)
    assert reply.status == 404
    assert "这里没有内容" in reply.body.decode()
    assert "Cloudreve 的缩略图" in (await gateway.send("GET", "/", headers)).body.decode()
