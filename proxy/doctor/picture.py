"""Examines the whole way of one thumbnail, as an anonymous visitor has it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import assert_never

from yarl import URL

from proxy.doctor.finding import Finding, Verdict
from proxy.domain.errors import RUN_CHECK, ProxyError, Refused, StillGenerating, UpstreamError
from proxy.domain.file_uri import parse
from proxy.domain.model import Credentials, FileUri, Generating, Grant, Refusal, Resolution
from proxy.domain.sniff import SNIFF_BYTES, media_type
from proxy.domain.ssrf import Origins, Target
from proxy.pictures.proof.proof import prove
from proxy.settings import Settings
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.images import Images

ATTEMPTS = 10
PAUSE_S = 0.5
"""A small picture takes 0.5 to 1.2 s to generate (docs/cloudreve.md, Generating)."""

_OWN_PATH = "/api/v4/file/content/"


@dataclass(frozen=True, slots=True)
class ThumbnailSteps:
    """The objects that resolve and fetch a thumbnail, built as the gateway builds them."""

    settings: Settings
    clock: Clock
    origins: Origins
    cloudreve: Cloudreve
    images: Images


async def examine_picture(text: str, way: ThumbnailSteps) -> list[Finding]:
    """Resolve a File URI, look where its picture is, and fetch it."""
    try:
        uri = parse(text, way.settings.server.max_uri_bytes)
        started = time.perf_counter()
        grant = await _resolve(uri, way)
        findings = [_granted(grant, time.perf_counter() - started, way)]
    except ProxyError as error:
        code = f" (Cloudreve's code {error.code})" if error.code is not None else ""
        hint = (
            " The check asks as anybody: name a picture of a public share."
            if error.status == HTTPStatus.UNAUTHORIZED
            else ""
        )
        return [Finding(Verdict.PROBLEM, "resolve", f"{error.title}{code}: {error.detail}{hint}")]
    try:
        fetched = await _fetch(grant, way)
    except ProxyError as error:
        fetched = _not_fetched(error)
    return [*findings, _place(grant, way, is_fetched=fetched.verdict is Verdict.OK), fetched]


def _not_fetched(error: ProxyError) -> Finding:
    """Report what storage said, and what helps."""
    storage = f" {error.storage}." if error.storage else ""
    advice = f" {error.advice[0].upper()}{error.advice[1:]}." if error.storage and error.advice != RUN_CHECK else ""
    return Finding(Verdict.PROBLEM, "fetch", f"{error.title}: {error.detail}{storage}{advice}")


async def _resolve(uri: FileUri, way: ThumbnailSteps) -> Grant:
    answer: Resolution = Generating(0)
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(PAUSE_S)
        answer = await way.cloudreve.resolve(uri, Credentials())
        if not isinstance(answer, Generating):
            break
    match answer:
        case Grant():
            return answer
        case Refusal():
            raise Refused(answer)
        case Generating():
            raise StillGenerating(answer)
        case _:
            assert_never(answer)


def _granted(grant: Grant, seconds: float, way: ThumbnailSteps) -> Finding:
    left_s = grant.fresh_until - way.clock.now()
    text = f"Cloudreve grants it in {seconds * 1000:.0f} ms"
    if left_s > 0:
        return Finding(Verdict.OK, "resolve", f"{text}; the grant can be kept for {left_s:.0f} s.")
    advice = "raise the lifetime of its URLs there, or lower grants.margin_s."
    return Finding(Verdict.ADVICE, "resolve", f"{text}, but too short to be kept: {advice}")


def _place(grant: Grant, way: ThumbnailSteps, *, is_fetched: bool) -> Finding:
    """Say whether the configuration knows the origin of the image URL, and what to add if not."""
    target, url = way.origins.target(grant.url), URL(grant.url, encoded=True)
    origin = str(url.origin())
    if target.internal:
        return Finding(Verdict.OK, "image URL", f"It is on {origin}, the site itself.")
    if url.path.startswith(_OWN_PATH):
        return _unknown_origin(origin, way, is_fetched=is_fetched)
    return _foreign(target, origin, url, way, is_fetched=is_fetched)


def _unknown_origin(origin: str, way: ThumbnailSteps, *, is_fetched: bool) -> Finding:
    """Report image URLs of the site itself under an address that the configuration does not name."""
    origins = [*way.settings.cloudreve.public_origins, origin]
    text = f"It is on {origin}. That seems to be Cloudreve itself, but cloudreve.public_origins does not name it."
    verdict = Verdict.ADVICE if is_fetched else Verdict.PROBLEM
    return Finding(verdict, "image URL", text, f"[cloudreve]\npublic_origins = {json.dumps(origins)}")


def _foreign(target: Target, origin: str, url: URL, way: ThumbnailSteps, *, is_fetched: bool) -> Finding:
    if not target.guarded:
        return Finding(Verdict.OK, "image URL", f"It is on {origin}, which the configuration names.")
    if is_fetched:
        return Finding(Verdict.OK, "image URL", f"It is on {origin}, at a public address.")
    hosts = [*way.settings.cloudreve.image_hosts, url.raw_authority]
    text = f"It is on {origin}, which cloudreve.image_hosts does not list. Do that if this storage is yours."
    return Finding(Verdict.PROBLEM, "image URL", text, f"[cloudreve]\nimage_hosts = {json.dumps(hosts)}")


async def _fetch(grant: Grant, way: ThumbnailSteps) -> Finding:
    limit, body, started = way.settings.pictures.max_bytes, bytearray(), time.perf_counter()
    async with way.images.fetch(grant.url, "") as arrival:
        if arrival is None:
            raise UpstreamError("The image URL answered with an unexpected status.")
        async for chunk in arrival.chunks:
            body += chunk
            if len(body) > limit:
                raise UpstreamError(f"The picture is larger than {limit} bytes (pictures.max_bytes).")
    kind = media_type(bytes(body[:SNIFF_BYTES]))
    if kind is None:
        raise UpstreamError("What came is not a picture.")
    prove(kind, bytes(body), way.settings.pictures.max_pixels)
    seconds = time.perf_counter() - started
    return Finding(Verdict.OK, "fetch", f"{kind}, {len(body)} bytes in {seconds * 1000:.0f} ms.")
