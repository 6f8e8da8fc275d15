"""The keys of entries in the tiers: digests, so that no key shows a share password, a token or a signed URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from urllib.parse import unquote

from yarl import URL

from proxy.domain.digest import digest
from proxy.domain.fields import Fields
from proxy.domain.file_uri import FileUri
from proxy.domain.identity import Identity
from proxy.domain.picture import PictureId
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.variant import ORIGINAL, Variant

_DIGEST_BYTES = 20
"""Finding two inputs with one digest takes 2^80 tries; the right to see a picture depends on that."""

_OWN_PATH = re.compile(r"/api/v4/file/content/([A-Za-z0-9]+)/\d+/[^/]+")
"""`/{entity id}/{speed}/{name}`: of these only the entity id is stable (docs/cloudreve.md, resolve)."""

_SLAVE_CONTENT = re.compile(r"(/api/v4/slave/file/content/\d+/[^/]+/)\d+/[^/]+")
"""`/{number}/{base64 path}/{speed}/{name}` at another node of the site: the name is the file's at the moment
(docs/cloudreve.md, Storage elsewhere)."""

_OWN_QUERY = frozenset({"sign", "thumb", "download"})


@dataclass(frozen=True, slots=True)
class PictureName:
    """The picture that a signed image URL names, however often it is signed anew."""

    id: PictureId
    own: bool
    """Cloudreve's own entity: its bytes never change under this id."""


@dataclass(frozen=True, slots=True)
class _Scheme:
    """One way of signing a URL: recognised by all of `marks`, it adds `drops` to the query."""

    marks: frozenset[str]
    drops: frozenset[str]
    shape: re.Pattern[str] = re.compile("")
    """What the values of all marks, joined by blanks in the order of their names, must look like."""


def _scheme(marks: str, drops: str = "", shape: str = "") -> _Scheme:
    names = frozenset(marks.split())
    return _Scheme(names, names | frozenset(drops.split()), re.compile(shape))


_SCHEMES = (
    _scheme(
        "X-Amz-Signature X-Amz-Credential",
        "X-Amz-Algorithm X-Amz-Date X-Amz-Expires X-Amz-SignedHeaders X-Amz-Security-Token",
    ),
    _scheme("AWSAccessKeyId Expires Signature", "x-amz-security-token"),  # S3 version 2, and Kingsoft KS3
    _scheme("KSSAccessKeyId Expires Signature", "x-kss-security-token"),
    _scheme("AccessKeyId Expires Signature", "x-obs-security-token"),  # Huawei OBS
    _scheme("OSSAccessKeyId Expires Signature", "security-token"),  # Aliyun OSS version 1
    _scheme(
        "x-oss-signature x-oss-credential",
        "x-oss-signature-version x-oss-date x-oss-expires x-oss-additional-headers x-oss-security-token",
    ),
    _scheme(  # Tencent COS
        "q-signature q-ak",
        "q-sign-algorithm q-sign-time q-key-time q-header-list q-url-param-list x-cos-security-token",
    ),
    _scheme("e token", shape=r"\d+ [\w-]+:[\w-]+=*\Z"),  # Qiniu: deadline, and `access key:signature`
    _scheme("_upt", shape=r"[0-9a-f]{8}\d+\Z"),  # Upyun: digest and deadline in one
    _scheme("sign", shape=r"[\w-]{43}=:\d+\Z"),  # Cloudreve's other nodes and content proxies: digest, deadline
    _scheme("sig sv se", "st sp sr spr sip skoid sktid skt ske sks skv sdd saoid suoid scid ss srt si"),  # Azure
)
"""As Cloudreve's storage drivers sign (docs/cloudreve.md, Storage elsewhere).

Nothing here selects content: `x-oss-process`, `x-image-process`, `imageMogr2/...`, `response-content-type`, `versionId`
stay in the name."""


def grant_key(identity: Identity, uri: FileUri) -> str:
    """Return the key of the grant or refusal that this identity has for this URI."""
    who = (identity.kind, identity.subject, identity.client, identity.fields, *identity.scopes)
    return "g:" + _digest(b"grant", uri.text, *who)


def request_key(request: ThumbRequest) -> str:
    """Return the key of a request: the same credentials, File URI, variant and client."""
    credentials, variant = request.credentials, request.variant
    who = (credentials.bearer or "", credentials.cookie or "", request.client, fields_digest(credentials.fields))
    return _digest(b"request", request.uri.text, variant.name, *who)


def seen_key(url: str) -> str:
    """Return the key under which a sealed URL's grant is kept with the version of its picture that was last seen."""
    return "s:" + _digest(b"seen", url)


def turn_key(owner: str, uri: FileUri) -> str:
    """Return the key of the lock under which resolves of one file take turns until its thumbnail has been generated."""
    return "t:" + _digest(b"turn", owner, uri.text)


def variant_id(picture: PictureId, variant: Variant) -> PictureId:
    """Name a variant of a picture; the original keeps the picture's own name."""
    return picture if variant.is_original else f"{picture}.{variant.name}"


def info_id(picture: PictureId, variant: Variant) -> PictureId:
    """Name what is known of a picture that is shown as this variant."""
    return f"{variant_id(picture, variant)}.info"


def picture_key(picture: PictureId) -> str:
    """Return the key of a picture's bytes, or of a variant's, the same for everybody who may see it."""
    return "p:" + picture


def token_digest(token: str) -> str:
    """Return the digest that stands for a bearer token."""
    return _digest(b"token", token)


def fields_digest(fields: Fields) -> str:
    """Return the digest that stands for request fields; nothing for none."""
    return _digest(b"fields", *(text for each in fields for text in each)) if fields else ""


def renewal_key(refresh_token: str) -> str:
    """Return the key of the session that was renewed with a refresh token."""
    return "r:" + _digest(b"renewal", refresh_token)


def ended_user(subject: str) -> str:
    """Return the digest that stands for a user, given by id, in the list of sign-outs."""
    return _digest(b"ended user", subject)


def ended_session(session: str) -> str:
    """Return the digest that stands for a session, given by its id, in the list of sign-outs."""
    return _digest(b"ended", session)


def watch_key(name: str) -> str:
    """Return the key of what is shared about listening to a folder."""
    return "w:" + _digest(b"watch", name)


def upload_key(session: str) -> str:
    """Return the key of the note which file an upload session is for."""
    return "u:" + _digest(b"upload", session)


def site_digest(origins: str) -> str:
    """Return 8 characters that stand for a Cloudreve site, given by its addresses: two sites may share one Redis."""
    return _digest(b"site", *(str(URL(origin)).rstrip("/") for origin in origins.split()))[:8]


def etag(picture: PictureId, validator: str = "", variant: Variant = ORIGINAL) -> str:
    """Build a picture's strong ETag (RFC 9110 §8.8.3), quotes included; each variant has its own.

    `validator` is upstream's own for a foreign picture; Cloudreve's own pictures need none, their id says it all.
    """
    return f'"{_digest(b"etag", variant_id(picture, variant), validator)}"'


def picture_of(url: str, internal: bool) -> PictureName:
    """Name the picture behind a signed URL; `internal` says that the URL is on the site's own origin.

    A parameter that is not known to be a signature stays in the name: then merely nothing is shared.
    """
    try:
        return _name(URL(url, encoded=True), internal)
    except ValueError:  # no URL at all: the fetch says so
        return PictureName(_digest(b"opaque", url), own=False)


def _name(url: URL, internal: bool) -> PictureName:
    entity = _own_entity(url) if internal else None
    if entity is not None:
        return PictureName(_digest(b"own", *entity), own=True)
    place = (url.scheme, url.raw_user or "", url.raw_password or "", (url.raw_host or "").lower(), str(url.port))
    query = _unsigned(url.raw_query_string)
    node = _SLAVE_CONTENT.fullmatch(url.raw_path) if query != url.raw_query_string else None
    return PictureName(_digest(b"foreign", *place, node[1] if node else url.raw_path, query), own=False)


def _own_entity(url: URL) -> tuple[str, str] | None:
    """Give entity id and thumbnail flag of Cloudreve's own content URL; None when it is anything else."""
    path = _OWN_PATH.fullmatch(url.raw_path)
    pairs = _pairs(url.raw_query_string)
    if path is None or not _OWN_QUERY.issuperset(name for name, _ in pairs):
        return None
    return path[1], "thumb" if any(name == "thumb" and value for name, value in pairs) else ""


def _unsigned(query: str) -> str:
    """Take the parameters of recognised signature schemes out of a raw query; leave the rest as it is."""
    values = dict(_pairs(query))
    drops = {name for scheme in _SCHEMES if _is_signed_by(scheme, values) for name in scheme.drops}
    return "&".join(part for part in query.split("&") if unquote(part.partition("=")[0]) not in drops)


def _is_signed_by(scheme: _Scheme, values: dict[str, str]) -> bool:
    if not scheme.marks <= values.keys():
        return False
    return scheme.shape.match(" ".join(values[name] for name in sorted(scheme.marks))) is not None


def _pairs(query: str) -> list[tuple[str, str]]:
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value)) for name, _, value in parts]


def _digest(purpose: bytes, *fields: str) -> str:
    """Digest a list of texts for one purpose."""
    return digest(blake2b(digest_size=_DIGEST_BYTES, person=purpose), *fields)
