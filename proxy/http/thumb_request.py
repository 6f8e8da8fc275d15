"""A request for a thumbnail, made of the parts of an HTTP request, each of which is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from multidict import MultiMapping

from proxy.domain.credentials import Credentials
from proxy.domain.errors import BadRequest, InvalidToken
from proxy.domain.fields import Fields
from proxy.domain.file_uri import parse
from proxy.domain.request_fields import SENT_AS_RECEIVED
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.variant import ORIGINAL, Variant

_BEARER = re.compile(r"(?i:bearer) +([A-Za-z0-9._~+/-]+=*) *")
_SCHEME = re.compile(r"\s*bearer(?![!#$%&'*+.^_`|~0-9a-z-])", re.IGNORECASE | re.ASCII)
_VALUE = re.compile(r"[\x21-\x7e]{1,4096}")


def thumb_request(
    uris: Sequence[str],
    *,
    authorization: Sequence[str] = (),
    sent: Mapping[str, Sequence[str]] | None = None,
    if_none_match: Sequence[str] = (),
    variant: Variant = ORIGINAL,
    client: str = "",
    cookie: str | None = None,
    max_uri_bytes: int,
) -> ThumbRequest:
    """Make the question; each sequence holds a field's values as received, in their order.

    Raises BadRequest for a field that is wrong or ambiguous and InvalidToken for a credential that is not a token.
    """
    if len(uris) != 1:
        raise BadRequest(f"Exactly one `uri` is needed, such as cloudreve://my/picture.jpg; there are {len(uris)}.")
    return ThumbRequest(
        uri=parse(uris[0], max_uri_bytes),
        credentials=Credentials(bearer(authorization), _fields(sent or {}), cookie),
        variant=variant,
        if_none_match=", ".join(if_none_match) if if_none_match else None,
        client=client,
    )


def bearer(authorization: Sequence[str]) -> str | None:
    """Give the access token of the lines of `Authorization`; None where the scheme `Bearer` is in none of them.

    Other schemes are meant for a proxy in front of the gateway. Raises InvalidToken where `Bearer` has no one token.
    """
    lines = [line for line in authorization if _SCHEME.match(line)]
    if not lines:
        return None
    token = _BEARER.fullmatch(lines[0])
    if len(lines) > 1 or token is None:
        raise InvalidToken("`Authorization: Bearer` must come once, with one access token of Cloudreve.")
    return token[1]


def sent_as_received(headers: MultiMapping[str]) -> dict[str, Sequence[str]]:
    """Take out of a request the fields that Cloudreve looks at besides `Authorization`."""
    return {name: headers.getall(name) for name in SENT_AS_RECEIVED if name in headers}


def _fields(sent: Mapping[str, Sequence[str]]) -> Fields:
    for name, values in sent.items():
        if len(values) != 1 or not _VALUE.fullmatch(values[0]):
            raise BadRequest(f"`{name}` must come once, with up to 4096 visible ASCII characters.")
    return tuple((name, values[0]) for name, values in sent.items())
