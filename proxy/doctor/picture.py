"""Examines the whole way of one thumbnail, for whom it would be shown to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import assert_never

from yarl import URL

from proxy.doctor.finding import Finding, Verdict
from proxy.doctor.formats import examine_formats
from proxy.domain.credentials import Credentials
from proxy.domain.errors import RUN_CHECK, ProxyError, Refused, StillGenerating, UpstreamError
from proxy.domain.file_uri import FileUri, parse
from proxy.domain.grant import Grant, Resolution
from proxy.domain.refusal import Generating, Refusal
from proxy.domain.sniff import SNIFF_BYTES, media_type
from proxy.domain.ssrf import Origins, Target
from proxy.identity.published import PublishedFolder, account_for
from proxy.pictures.proof.proof import prove
from proxy.settings import MAX_FOLDER_BYTES, Settings
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.images import Images

ATTEMPTS = 10
PAUSE_S = 0.5
"""A small picture takes 0.5 to 1.2 s to generate (docs/cloudreve.md, Generating)."""

SLOW_S = 1.0
"""A thumbnail that is there takes Cloudreve milliseconds."""
SLOW_GENERATION_S = 3.0

_OWN_PATH = "/api/v4/file/content/"
_MISSING = {
    404: "There is no such share: it is deleted, or its id is mistyped (capitals count).",
    40001: "There is no such share or user: its id is mistyped (capitals count).",
    40016: "There is no such path: the share or user is there, but not this file; capitals count.",
    40044: "There is no such file.",
    40058: "There is no such share: it is deleted or has run out.",
    40077: "The file is there, but it has no thumbnail: none of Cloudreve's generators takes it, or one has failed.",
    -1: "The file is there, but Cloudreve could not make its thumbnail: none of its generators takes it.",
}
"""The meanings of Cloudreve's codes, where the gateway says the same of all (docs/cloudreve.md, Codes)."""


@dataclass(frozen=True, slots=True)
class ThumbnailSteps:
    """The objects that resolve and fetch a thumbnail, built as the gateway builds them."""

    settings: Settings
    clock: Clock
    origins: Origins
    cloudreve: Cloudreve
    images: Images


async def examine_picture(text: str, steps: ThumbnailSteps, tokens: Mapping[int, str]) -> list[Finding]:
    """Resolve a File URI, look where its picture is, and fetch it; `tokens` are those of the published accounts."""
    try:
        uri = parse(text, steps.settings.server.max_uri_bytes)
        account = account_for(uri, published_folders(steps.settings))
        if account is not None and account not in tokens:
            return [Finding(Verdict.PROBLEM, "resolve", f"Not tried: {_account(account)} has to sign in for it.")]
        asker = Credentials() if account is None else Credentials(tokens[account])
        grant, first_s = await _timed(uri, asker, steps)
        _, again_s = await _timed(uri, asker, steps)
        findings = [_granted(grant, (first_s, again_s), account, steps)]
    except ProxyError as error:
        return [Finding(Verdict.PROBLEM, "resolve", _refused(error))]
    try:
        fetched, body = await _fetch(grant, steps)
    except ProxyError as error:
        return [*findings, _place(grant, steps, is_fetched=False), _not_fetched(error)]
    formats = await examine_formats(body, steps.settings.pictures)
    return [*findings, _place(grant, steps, is_fetched=True), fetched, *formats]


def _not_fetched(error: ProxyError) -> Finding:
    """Report what storage said, and what helps."""
    storage = f" {error.storage}." if error.storage else ""
    advice = f" {error.advice[0].upper()}{error.advice[1:]}." if error.storage and error.advice != RUN_CHECK else ""
    return Finding(Verdict.PROBLEM, "fetch", f"{error.title}: {error.detail}{storage}{advice}")


def published_folders(settings: Settings) -> list[PublishedFolder]:
    """Give the folders that everybody may see, with the place of their account in the configuration."""
    entries = enumerate(settings.publish)
    return [PublishedFolder(parse(entry.prefix, MAX_FOLDER_BYTES), number) for number, entry in entries]


def _account(number: int) -> str:
    return f"the account of [[publish]] number {number + 1}"


def _refused(error: ProxyError) -> str:
    code = f" (Cloudreve's code {error.code})" if error.code is not None else ""
    hint = ""
    if error.status == HTTPStatus.UNAUTHORIZED:
        hint = " No [[publish]] covers it, so that the check asks as anybody: name a picture of a public share."
    return f"{error.title}{code}: {_MISSING.get(error.code or 0, error.detail)}{hint}"


async def _timed(uri: FileUri, asker: Credentials, steps: ThumbnailSteps) -> tuple[Grant, float]:
    started = time.perf_counter()
    grant = await _resolve(uri, asker, steps)
    return grant, time.perf_counter() - started


async def _resolve(uri: FileUri, asker: Credentials, steps: ThumbnailSteps) -> Grant:
    answer: Resolution = Generating(0)
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(PAUSE_S)
        answer = await steps.cloudreve.resolve(uri, asker)
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


def _granted(grant: Grant, seconds: tuple[float, float], account: int | None, steps: ThumbnailSteps) -> Finding:
    first_s, again_s = seconds
    name = f" to {_account(account)}" if account is not None else ""
    text = f"Cloudreve grants it{name} in {first_s * 1000:.0f} ms"
    remaining_s = grant.remaining_s(steps.clock.now())
    if remaining_s <= 0:
        advice = "raise the lifetime of its URLs there, or lower grants.margin_s."
        return Finding(Verdict.ADVICE, "resolve", f"{text}, but too short to be kept: {advice}")
    if again_s > SLOW_S:
        advice = f"{text}, and again in {again_s:.1f} s: that is slow for a thumbnail that is there."
        return Finding(Verdict.ADVICE, "resolve", f"{advice} Look at the load of Cloudreve and its database.")
    if first_s > SLOW_GENERATION_S:
        advice = "generating it was slow. Look at Cloudreve's generators and the machine's load."
        return Finding(Verdict.ADVICE, "resolve", f"{text}: {advice}")
    return Finding(Verdict.OK, "resolve", f"{text}; the grant can be kept for {remaining_s:.0f} s.")


def _place(grant: Grant, steps: ThumbnailSteps, *, is_fetched: bool) -> Finding:
    """Say whether the configuration knows the origin of the image URL, and what to add if not."""
    target, url = steps.origins.target(grant.url), URL(grant.url, encoded=True)
    origin = str(url.origin())
    if target.internal:
        return Finding(Verdict.OK, "image URL", f"It is on {origin}, the site itself.")
    if url.path.startswith(_OWN_PATH):
        return _unknown_origin(origin, steps, is_fetched=is_fetched)
    return _foreign(target, origin, url, steps, is_fetched=is_fetched)


def _unknown_origin(origin: str, steps: ThumbnailSteps, *, is_fetched: bool) -> Finding:
    """Report image URLs of the site itself under an address that the configuration does not name."""
    origins = [*steps.settings.cloudreve.public_origins, origin]
    text = f"It is on {origin}. That seems to be Cloudreve itself, but cloudreve.public_origins does not name it."
    verdict = Verdict.ADVICE if is_fetched else Verdict.PROBLEM
    return Finding(verdict, "image URL", text, f"[cloudreve]\npublic_origins = {json.dumps(origins)}")


def _foreign(target: Target, origin: str, url: URL, steps: ThumbnailSteps, *, is_fetched: bool) -> Finding:
    if not target.guarded:
        return Finding(Verdict.OK, "image URL", f"It is on {origin}, which the configuration names.")
    if is_fetched:
        return Finding(Verdict.OK, "image URL", f"It is on {origin}, at a public address.")
    hosts = [*steps.settings.cloudreve.image_hosts, url.raw_authority]
    text = f"It is on {origin}, which cloudreve.image_hosts does not list. Do that if this storage is yours."
    return Finding(Verdict.PROBLEM, "image URL", text, f"[cloudreve]\nimage_hosts = {json.dumps(hosts)}")


async def _fetch(grant: Grant, steps: ThumbnailSteps) -> tuple[Finding, bytes]:
    limit, body, started = steps.settings.pictures.max_bytes, bytearray(), time.perf_counter()
    async with steps.images.fetch(grant.url, "") as arrival:
        if arrival is None:
            raise UpstreamError("The image URL answered with an unexpected status.")
        async for chunk in arrival.chunks:
            body += chunk
            if len(body) > limit:
                raise UpstreamError(f"The picture is larger than {limit} bytes (pictures.max_bytes).")
    kind = media_type(bytes(body[:SNIFF_BYTES]))
    if kind is None:
        raise UpstreamError("What came is not a picture.")
    prove(kind, bytes(body), steps.settings.pictures.max_pixels)
    seconds = time.perf_counter() - started
    return Finding(Verdict.OK, "fetch", f"{kind}, {len(body)} bytes in {seconds * 1000:.0f} ms."), bytes(body)
