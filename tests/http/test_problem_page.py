"""An error as a page."""

from __future__ import annotations

import pytest

from proxy.domain.errors import BadRequest
from proxy.http.problem_page import Link, page, prefers_page


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
    """Who takes anything, as scripts and curl do, gets problem+json."""
    assert prefers_page(accept) is is_preferred


def test_a_page_says_what_problem_json_says() -> None:
    """And nothing in it is markup that came with the request."""
    text = page(BadRequest('<b>"wrong"</b>'), Link('/a?b="&c', "Go <on>")).decode()
    assert "<h1>400 Bad Request</h1>" in text
    assert "&lt;b&gt;&quot;wrong&quot;&lt;/b&gt;" in text
    assert '<a href="/a?b=&quot;&amp;c">Go &lt;on&gt;</a>' in text
    assert "href" not in page(BadRequest("x")).decode()
