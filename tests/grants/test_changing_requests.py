"""Requests that change files, and requests that do not."""

from __future__ import annotations

import pytest

from proxy.grants.changing_requests import changes_files


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v4/file/content"),
        ("POST", "/api/v4/file/upload/6f9c/0"),
        ("POST", "/api/v4/file/rename"),
        ("POST", "/api/v4/file/move"),
        ("POST", "/api/v4/file/restore"),
        ("POST", "/api/v4/file/version/current"),
        ("DELETE", "/api/v4/file/version"),
        ("DELETE", "/api/v4/file"),
        ("PATCH", "/api/v4/file/metadata"),
        ("GET", "/api/v4/callback/s3/6f9c/key"),
        ("POST", "/api/v4/callback/onedrive/6f9c/key"),
    ],
)
def test_what_changes_files(method: str, path: str) -> None:
    """As Cloudreve's page changes them."""
    assert changes_files(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v4/file"),
        ("HEAD", "/api/v4/file/content/ab/0/one.png"),
        ("OPTIONS", "/api/v4/file/content"),
        ("POST", "/api/v4/file/url"),
        ("PUT", "/api/v4/file/pin"),
        ("DELETE", "/api/v4/file/lock"),
        ("PUT", "/api/v4/file/viewerSession"),
        ("POST", "/api/v4/files"),
        ("POST", "/api/v4/session/token"),
        ("POST", "/f/ab/one.png"),
    ],
)
def test_what_does_not(method: str, path: str) -> None:
    """What pages send whenever somebody looks at a file is among it."""
    assert not changes_files(method, path)
