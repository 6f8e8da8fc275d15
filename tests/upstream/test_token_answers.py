"""Tokens as Cloudreve hands them out."""

from __future__ import annotations

import pytest

from proxy.domain.errors import UpstreamError
from proxy.upstream.token_answers import Tokens, read_exchange, read_refresh, read_sign_in

EXCHANGED = (
    b'{"access_token":"a","token_type":"Bearer","expires_in":3599,"refresh_token_expires_in":7775999,'
    b'"refresh_token":"r","scope":"openid offline_access"}'
)
NOT_EXCHANGED = b'{"error":"Invalid or expired authorization code","error_description":"","error_codes":[40020]}'
REFRESHED = (
    b'{"code":0,"data":{"access_token":"a","refresh_token":"r","access_expires":"2026-11-23T12:53:31.4Z",'
    b'"refresh_expires":"2026-12-07T11:53:31.4Z"},"msg":""}'
)
GARBAGE = [b"", b"[]", b"{}", b"null", b"<html>", b'{"access_token":1}', b'{"code":"0"}', b"[" * 100_000]


def test_a_code_brings_a_pair() -> None:
    assert read_exchange(EXCHANGED) == Tokens("a", "r")


def test_without_offline_access_there_is_nothing_to_renew_with() -> None:
    """The answer has no refresh token then, though it still says how long one would live."""
    assert read_exchange(b'{"access_token":"a","token_type":"Bearer","expires_in":3599}') == Tokens("a", "")


def test_a_code_that_is_not_honoured_brings_none() -> None:
    """As recorded: HTTP 400, and a shape of its own."""
    assert read_exchange(NOT_EXCHANGED) is None


def test_a_refresh_brings_a_pair() -> None:
    """Wrapped in `code` and `data`, unlike the other."""
    assert read_refresh(REFRESHED) == Tokens("a", "r")


def test_a_session_that_is_over_is_told_from_trouble() -> None:
    """40020 says over; anything else says nothing about the session, which is to live on."""
    assert read_refresh(b'{"code":40020,"msg":"Failed to issue token pair"}') is None
    for code in (-1, 401, 500, 50001, 40001):
        with pytest.raises(UpstreamError):
            read_refresh(b'{"code":%d,"msg":""}' % code)


def test_a_password_brings_a_pair() -> None:
    assert read_sign_in(b'{"code":0,"data":{"user":{"id":"x"},"token":%b}}' % EXCHANGED) == Tokens("a", "r")


@pytest.mark.parametrize("code", [-1, 1, 401, 40018, 40080, 50001])
def test_a_password_that_is_not_enough_brings_none(code: int) -> None:
    """A wrong one, a captcha that is wanted, a second factor: whatever it is, there are no tokens."""
    assert read_sign_in(b'{"code":%d,"msg":""}' % code) is None


@pytest.mark.parametrize("body", [*GARBAGE, REFRESHED])
def test_an_exchange_of_another_shape_is_upstream_s_fault(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        read_exchange(body)


@pytest.mark.parametrize("body", [*GARBAGE, EXCHANGED, b'{"code":0,"data":null}'])
def test_a_refresh_of_another_shape_is_upstream_s_fault(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        read_refresh(body)


def test_tokens_are_not_printed() -> None:
    assert "secret" not in repr(Tokens("secret-a", "secret-r"))


@pytest.mark.parametrize("body", [*GARBAGE, EXCHANGED, REFRESHED, b'{"code":0,"data":null}'])
def test_a_sign_in_of_another_shape_is_upstream_s_fault(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        read_sign_in(body)
