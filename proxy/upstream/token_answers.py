"""Tokens as Cloudreve hands them out: one that opens its API for an hour, and one that renews it."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from proxy.domain.errors import UpstreamError
from proxy.upstream.json_answer import read_answer

_OVER_CODE = 40020
"""The code of every reason for not renewing (docs/cloudreve.md, Sign-in)."""

_NAME = "Cloudreve's answer about tokens"


@dataclass(frozen=True, slots=True)
class Tokens:
    """An access token and its refresh token; without one (no `offline_access`) the access token is all there is."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)


class _Pair(msgspec.Struct):
    access_token: str
    refresh_token: str = ""


class _Refused(msgspec.Struct):
    error_codes: list[int]


class _Renewed(msgspec.Struct):
    code: int
    data: msgspec.Raw = msgspec.Raw(b"null")


class _SignedIn(msgspec.Struct):
    token: _Pair


def read_exchange(body: bytes) -> Tokens | None:
    """Read the tokens that a code was exchanged for; None where Cloudreve does not accept the code, or the client.

    Raises UpstreamError when it has another shape. The two answers share no key (docs/cloudreve.md, Sign-in).
    """
    try:
        return _tokens(read_answer(body, _Pair, _NAME))
    except UpstreamError:
        read_answer(body, _Refused, _NAME)
        return None


def read_refresh(body: bytes) -> Tokens | None:
    """Read a renewed pair; None where Cloudreve says that it is over, UpstreamError for anything else."""
    renewed = read_answer(body, _Renewed, _NAME)
    if renewed.code == _OVER_CODE:
        return None
    if renewed.code != 0:
        raise UpstreamError("Cloudreve did not renew the access token.")
    return _tokens(read_answer(renewed.data, _Pair, _NAME))


def read_sign_in(body: bytes) -> Tokens | None:
    """Read the tokens that a password was accepted with; None for every code but success."""
    answer = read_answer(body, _Renewed, _NAME)
    return _tokens(read_answer(answer.data, _SignedIn, _NAME).token) if answer.code == 0 else None


def _tokens(pair: _Pair) -> Tokens:
    return Tokens(pair.access_token, pair.refresh_token)
