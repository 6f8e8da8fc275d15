"""Looks whether pictures of one folder are kept by several hosts, as after a change of the storage policy."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

from yarl import URL

from proxy.doctor.cloudreve_api import CloudreveApi, Folder
from proxy.doctor.finding import Finding, Verdict
from proxy.doctor.links import PICTURES
from proxy.doctor.picture import ThumbnailSteps
from proxy.domain.credentials import Credentials
from proxy.domain.errors import ProxyError
from proxy.domain.file_uri import parse
from proxy.domain.grant import Grant

TRIED = 12
LONGEST_S = 5.0
"""After this no further picture is tried: each may be one whose thumbnail has to be generated first."""


async def examine_hosts(uri: str, api: CloudreveApi, steps: ThumbnailSteps) -> list[Finding]:
    """Resolve pictures beside this one as anybody; tell of all hosts that keep them when there are several."""
    try:
        urls = await _image_urls(uri.rpartition("/")[0], api, steps)
    except ProxyError:
        return []  # the folder is for others alone, or a share of one file
    return _told(urls, steps)


async def _image_urls(folder: str, api: CloudreveApi, steps: ThumbnailSteps) -> list[str]:
    answer = await api.folder(folder)
    if answer.code:
        return []
    names = [file.name for file in answer.read(Folder).files if file.name.lower().endswith(PICTURES)]
    started, urls = time.monotonic(), []
    for name in names[:: max(len(names) // TRIED, 1)][:TRIED]:
        if time.monotonic() - started > LONGEST_S:
            break
        one = parse(f"{folder}/{quote(name, safe='')}", steps.settings.server.max_uri_bytes)
        resolution = await steps.cloudreve.resolve(one, Credentials())
        if isinstance(resolution, Grant):
            urls.append(resolution.url)
    return urls


def _told(urls: list[str], steps: ThumbnailSteps) -> list[Finding]:
    targets = [(URL(url, encoded=True), steps.origins.target(url)) for url in urls]
    hosts = dict.fromkeys(url.raw_authority for url, target in targets if not target.internal)
    if len(hosts) <= 1:
        return []
    guarded = dict.fromkeys(url.raw_authority for url, target in targets if target.guarded)
    text = f"Pictures of this folder are on {' and '.join(hosts)}: both are needed."
    if len(hosts) > 2:  # noqa: PLR2004
        text = f"Pictures of this folder are on {', '.join(hosts)}: all of them are needed."
    text += " After a change of the storage policy what was made before stays where it was."
    if not guarded:
        return [Finding(Verdict.OK, "image hosts", text)]
    text += " Where their addresses are not public, cloudreve.image_hosts has to list them."
    listed = [*steps.settings.cloudreve.image_hosts, *guarded]
    return [Finding(Verdict.ADVICE, "image hosts", text, f"[cloudreve]\nimage_hosts = {json.dumps(listed)}")]
