"""Reads what an image's storage says in place of a picture, for log and doctor: its code, and what helps."""

from __future__ import annotations

import re
from http import HTTPStatus

_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9.]{1,64})\s*</Code>")
"""The code in S3's XML, which OSS, COS, OBS and KS3 write likewise."""
_EXPIRED = re.compile(rb"<Message>[^<]*expired", re.IGNORECASE)

_CLOCK = (
    "set the clocks of Cloudreve and its storage by NTP; where they are right, raise the lifetime of Cloudreve's URLs"
)
_KEY = "correct key, secret, region and endpoint of Cloudreve's storage policy; a proxy has to pass Host on as it is"
_READ = "let the key of the storage policy in Cloudreve read the objects of its bucket"
_GONE = "look whether the object is in the bucket of the storage policy; without it this file has no thumbnail"
_BUCKET = "correct the bucket of the storage policy in Cloudreve"
_RATE = "raise the request limit of this storage, or lower cloudreve.max_fetches"
_ADVICE = {
    "AccessDenied": _READ,
    "AccountProblem": _KEY,
    "AuthorizationQueryParametersError": _CLOCK,
    "ExpiredToken": _CLOCK,
    "InvalidAccessKeyId": _KEY,
    "NoSuchBucket": _BUCKET,
    "NoSuchKey": _GONE,
    "RequestExpired": _CLOCK,
    "RequestTimeTooSkewed": _CLOCK,
    "SignatureDoesNotMatch": _KEY,
    "SlowDown": _RATE,
}
"""What to do about S3's codes (docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)."""
_ADVICE_BY_STATUS: dict[int, str] = {
    HTTPStatus.FORBIDDEN: _READ,
    HTTPStatus.NOT_FOUND: _GONE,
    HTTPStatus.TOO_MANY_REQUESTS: _RATE,
    HTTPStatus.SERVICE_UNAVAILABLE: _RATE,
}


def storage_code(body: bytes) -> str:
    """Read the code out of a storage's XML; empty where there is none."""
    found = _CODE.search(body)
    return found[1].decode() if found else ""


def storage_advice(status: int, body: bytes) -> str:
    """Tell what the operator may do about an answer of storage; empty where nothing is known."""
    if _EXPIRED.search(body):
        return _CLOCK
    return _ADVICE.get(storage_code(body)) or _ADVICE_BY_STATUS.get(status, "")
