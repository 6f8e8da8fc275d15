"""Errors of requests that HTTP itself has a status for."""

from __future__ import annotations

from http import HTTPStatus

from proxy.domain.errors import BadRequest


class TargetTooLong(BadRequest):
    """The request line is longer than is read."""

    status = HTTPStatus.REQUEST_URI_TOO_LONG
    category = "target_too_long"
    title = "URI too long"


class HeadTooLarge(BadRequest):
    """The head, or one of its fields, is larger than is read."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    category = "head_too_large"
    title = "Request header fields too large"


class CodingNotImplemented(BadRequest):
    """The body comes in a transfer coding that is not known."""

    status = HTTPStatus.NOT_IMPLEMENTED
    category = "coding_not_implemented"
    title = "Not implemented"


class VersionNotSupported(BadRequest):
    """The request is of another major version of HTTP."""

    status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    category = "version_not_supported"
    title = "HTTP version not supported"


class ExpectationFailed(BadRequest):
    """The request expects something other than `100-continue`."""

    status = HTTPStatus.EXPECTATION_FAILED
    category = "expectation_failed"
    title = "Expectation failed"
