"""Routes of Cloudreve are named without what is individual in a path."""

from __future__ import annotations

import pytest

from proxy.passthrough.route_patterns import route_pattern


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/", "/"),
        ("/home", "/home"),
        ("/api/v4/file", "/api/v4/file"),
        ("/api/v4/file/content/S3CRET/0/S3CRET.png", "/api/v4/file/content/{}/{}/{}"),
        ("/api/v4/share/S3CRET", "/api/v4/share/{}"),
        ("/api/v4/share/info/S3CRET", "/api/v4/share/info/{}"),
        ("/api/v4/admin/user/7", "/api/v4/admin/*"),
        ("/api/v4/S3CRET", "/api/*"),
        ("/api/v4/share/info", "/api/*"),
        ("/dav", "/dav/*"),
        ("/dav/S3CRET/a.jpg", "/dav/*"),
        ("/f/S3CRET/a.jpg", "/f/*"),
        ("/s/S3CRET", "/s/{}"),
        ("/s/S3CRET/S3CRET", "/s/{}/{}"),
        ("/s/S3CRET/S3CRET/S3CRET", "/*"),
        ("/session/authorize", "/session/*"),
        ("/S3CRET", "/*"),
        ("/{}", "/*"),
        ("//", "/*"),
        ("/s/", "/*"),
        ("*", "/*"),
        ("http://S3CRET/x", "/*"),
        ("/" + "S3CRET/" * 1000, "/*"),
    ],
)
def test_a_path_is_named_by_its_route(path: str, pattern: str) -> None:
    assert route_pattern(path) == pattern
