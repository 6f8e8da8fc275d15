"""One tree of errors: each knows its HTTP status, its public message and its category, the label of its metric."""

from __future__ import annotations

from http import HTTPStatus

from proxy.domain.refusal import Generating, Refusal, RefusalKind

RETRY_AFTER_S = 2
"""How long a client is asked to wait when trying again is likely to help."""
RUN_CHECK = "run `thumb-proxy check`"
"""Advice about a failure that the configuration may have caused."""
CORRECT_ACCOUNT = "correct the secret of this account's [[publish]]"
_FAILURES = frozenset({500, 502, 503, 504, 508})


class ProxyError(Exception):
    """A request that ends without a picture. `detail` is public: no URI, token or signed URL may go into it."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    category = "internal"
    title = "Internal error"
    retry_after_s: int | None = None
    code: int | None = None
    correlation_id: str = ""
    advice = ""
    """Advice for the operator; for the log alone."""
    storage = ""
    """Host, status and code of the image storage that has failed; for the log alone, and never its URL."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def is_failure(self) -> bool:
        """Tell whether this side has failed, and not the visitor."""
        return self.status in _FAILURES


class BadRequest(ProxyError):
    """The request itself is wrong; the detail says what was and what is accepted."""

    status = HTTPStatus.BAD_REQUEST
    category = "bad_request"
    title = "Bad request"


class NoSuchRoute(ProxyError):
    """Nothing is served at this path."""

    status = HTTPStatus.NOT_FOUND
    category = "no_such_route"
    title = "Not found"


class MethodNotAllowed(ProxyError):
    """The path exists, the method does not."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    category = "method_not_allowed"
    title = "Method not allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"Accepted here: {allowed}.")
        self.allowed = allowed


class RangeNotSatisfiable(ProxyError):
    """The picture is shorter than the range that is asked for."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    category = "range_not_satisfiable"
    title = "Range not satisfiable"

    def __init__(self, length: int) -> None:
        super().__init__(f"The picture has {length} bytes.")
        self.length = length


class InvalidToken(ProxyError):
    """A bearer token that Cloudreve does not accept: refused, never treated as anonymous."""

    status = HTTPStatus.UNAUTHORIZED
    category = "invalid_token"
    title = "Invalid access token"


class NotSignedIn(ProxyError):
    """Nobody is signed in, where somebody has to be."""

    status = HTTPStatus.UNAUTHORIZED
    category = "not_signed_in"
    title = "Not signed in"


class CrossSite(ProxyError):
    """A request that only the site's own pages may make, made by another site's."""

    status = HTTPStatus.FORBIDDEN
    category = "cross_site"
    title = "Not from this site"


class BadSeal(ProxyError):
    """A sealed text that no key of ours opens: changed, cut, sealed for something else, or by a key since dropped."""

    status = HTTPStatus.FORBIDDEN
    category = "bad_seal"
    title = "Not sealed here"


class Expired(ProxyError):
    """A sealed URL whose grant has run out, or is no longer honoured: the API gives a new one."""

    status = HTTPStatus.GONE
    category = "expired"
    title = "No longer valid"


class Looping(ProxyError):
    """A request that has been here before: the way to Cloudreve leads back to the gateway."""

    status = HTTPStatus.LOOP_DETECTED
    category = "loop"
    title = "Loop detected"
    advice = RUN_CHECK


class Refused(ProxyError):
    """Cloudreve said no."""

    category = "refused"
    advice = "look for the correlation id in Cloudreve's log"

    def __init__(self, refusal: Refusal) -> None:
        self.status, self.title, detail = REFUSALS[refusal.kind]
        super().__init__(detail)
        self.category = f"refused_{refusal.kind}"
        self.retry_after_s = RETRY_AFTER_S if self.status == HTTPStatus.SERVICE_UNAVAILABLE else None
        self.refusal = refusal
        self.code = refusal.code
        self.correlation_id = refusal.correlation_id


REFUSALS: dict[RefusalKind, tuple[HTTPStatus, str, str]] = {
    RefusalKind.BAD_REQUEST: (HTTPStatus.BAD_REQUEST, "Bad request", "Cloudreve does not accept this File URI."),
    RefusalKind.UNAUTHENTICATED: (HTTPStatus.UNAUTHORIZED, "Sign-in required", "Only a signed-in user may see this."),
    RefusalKind.PAYMENT_REQUIRED: (HTTPStatus.PAYMENT_REQUIRED, "Purchase required", "This share has to be bought."),
    RefusalKind.FORBIDDEN: (HTTPStatus.FORBIDDEN, "Forbidden", "You may not see this, or the share password is wrong."),
    RefusalKind.NOT_FOUND: (HTTPStatus.NOT_FOUND, "Not found", "There is no such file, or it has no thumbnail."),
    RefusalKind.UNREADABLE: (HTTPStatus.SERVICE_UNAVAILABLE, "Original unreadable", "Cloudreve cannot read this file."),
    RefusalKind.UNKNOWN: (HTTPStatus.BAD_GATEWAY, "Refused by Cloudreve", "Cloudreve refused with an unexpected code."),
}


class UpstreamError(ProxyError):
    """An answer from upstream that cannot be used: garbage, truncated, too large, not an image, a forbidden address."""

    status = HTTPStatus.BAD_GATEWAY
    category = "upstream"
    title = "Bad answer from upstream"
    advice = RUN_CHECK


class GrantRejected(UpstreamError):
    """The image URL is not honoured (expired, replaced, signature refused): the grant is void, a new one may help."""

    category = "grant_rejected"


class Unreachable(ProxyError):
    """No connection to upstream, or it broke: trying again in a moment may help."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    category = "unreachable"
    title = "Upstream unreachable"
    retry_after_s = RETRY_AFTER_S
    advice = RUN_CHECK


class SessionUnknown(ProxyError):
    """Whether a session has been ended elsewhere cannot be found out."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    category = "session_unknown"
    title = "Session cannot be checked"
    retry_after_s = RETRY_AFTER_S


class SignOutPending(ProxyError):
    """A sign-out holds here, and not yet at all others."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    category = "sign_out_pending"
    title = "Sign-out is not complete"
    retry_after_s = RETRY_AFTER_S


class AccountFailed(ProxyError):
    """The account that has published a folder cannot sign in."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    category = "account_failed"
    title = "Account unavailable"
    retry_after_s = RETRY_AFTER_S
    advice = CORRECT_ACCOUNT


class NotEmbeddable(ProxyError):
    """The page of another site wants to show what it may not."""

    status = HTTPStatus.FORBIDDEN
    category = "not_embeddable"
    title = "Not to be embedded here"


class Busy(ProxyError):
    """More is waiting already than the bounds allow."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    category = "busy"
    title = "Busy"
    retry_after_s = RETRY_AFTER_S


class StillGenerating(ProxyError):
    """Cloudreve was making this thumbnail until the deadline."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    category = "generating"
    title = "Thumbnail is being generated"
    retry_after_s = RETRY_AFTER_S

    def __init__(self, generating: Generating) -> None:
        super().__init__("Cloudreve is still generating this thumbnail.")
        self.code = generating.code
        self.correlation_id = generating.correlation_id


class TooSlow(ProxyError):
    """The deadline of the request, or upstream's own timeout, has passed."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    category = "too_slow"
    title = "Upstream too slow"
    retry_after_s = RETRY_AFTER_S
