"""Errors of the storage that keeps a picture."""

from __future__ import annotations

from http import HTTPStatus

from proxy.domain.errors import GrantRejected, ProxyError, Unreachable, UpstreamError


class StorageBusy(ProxyError):
    """The image's host wants to be left alone for a time (429, 503), or a thumbnail just granted is not there yet."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    category = "storage_busy"
    title = "Storage busy"

    def __init__(self, after_s: float, detail: str = "The picture's storage is left alone for a while.") -> None:
        super().__init__(detail)
        self.after_s = after_s
        self.retry_after_s = -int(-after_s // 1)  # rounded up


class Untrusted(Unreachable):
    """The certificate of upstream is not trusted."""

    category = "untrusted_certificate"
    title = "Certificate not trusted"
    advice = "let cloudreve.ca_file name the CA of this certificate, or give the host a certificate for its name"


class BrokenOff(UpstreamError):
    """An answer of upstream that ends too early: it says nothing of the picture."""

    category = "broken_off"
    title = "Answer broken off"


class NotPublic(UpstreamError):
    """The image URL leads into a private network, and to no host that the configuration lists."""

    category = "not_public"
    title = "Image host not listed"
    advice = "name this host in cloudreve.image_hosts if the storage is yours, or in public_origins if it is Cloudreve"


class NotMade(GrantRejected):
    """Another node of the site could not make the thumbnail; it cannot either while others ask for the same."""

    category = "not_made"


class NotStored(GrantRejected):
    """The image's storage says 403 or 404: of a thumbnail just made it may not have the bytes yet."""

    category = "not_stored"
