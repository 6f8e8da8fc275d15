"""All that the drill needs, started on loopback: S3, Cloudreve, a slave node of it, ways with faults, and a gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.benchmarks.port import free_port
from deploy.drills.gateway import Gateway
from deploy.drills.storage.certificates import certify, tls
from deploy.drills.storage.front import Front
from deploy.drills.storage.processes import ACCESS, SECRET, cloudreve, s3
from deploy.drills.storage.site import S3, Owner, Site

DEADLINE_S = 3.0
GRANT_S = 3.0
NODE_SECRET = "n" * 64
DESCRIPTORS = 4096
HASTY = {
    "GRANTS__MAX_TTL_S": str(GRANT_S),
    "GRANTS__MARGIN_S": "0",
    "GRANTS__RENEW_S": "0",
    "PICTURES__RECHECK_S": "0",
    "PICTURES__FORMATS": "[]",
    "SERVER__DEADLINE_S": str(DEADLINE_S),
}


@dataclass(slots=True)
class Stage:
    """What the drill has to do with."""

    site: Site
    owners: dict[str, Owner]
    """By the kind of their storage policy."""
    fronts: dict[str, Front]
    """The way from gateway and Cloudreve to each storage."""
    gateway: Gateway
    """One whose grants end within seconds, and whose deadline is as short."""
    plain: Gateway
    """One with the settings that come with it."""
    objects: Path
    """Where the S3 server keeps its buckets, as files."""
    trusted: Path
    """The certificate that the gateway trusts, and one that Cloudreve alone trusts."""
    untrusted: Path


def policies(fronts: dict[str, Front], node: int) -> dict[str, dict[str, object]]:
    """Describe the storage policies."""
    bucket = {"type": "s3", "access_key": ACCESS, "secret_key": SECRET}
    private = bucket | {"bucket_name": "private", "is_private": True, "settings": S3}
    server = {"server": fronts["s3"].url}
    remote = {"type": "remote", "server": fronts["slave"].url, "node_id": node}
    return {
        "s3": private | server,
        "s3-other": private | {"server": fronts["s3-other"].url},
        "s3-tls": private | {"server": fronts["s3-tls"].url},
        "public": bucket | server | {"bucket_name": "public", "is_private": False, "settings": S3},
        "relayed": private | server | {"settings": S3 | {"internal_proxy": True}},
        "slave": remote | {"settings": {"thumb_exts": ["png", "jpg"], "chunk_size": 26214400}},
        "local": {"type": "local", "settings": {"chunk_size": 26214400}},
    }


@asynccontextmanager
async def staged(s3_program: Path, cloudreve_program: Path, folder: Path) -> AsyncIterator[Stage]:
    """Start it all, and end it."""
    async with AsyncExitStack() as stack:
        store = s3(s3_program, folder / "s3", free_port())
        stack.callback(store.stop)
        await store.start("/")
        node = cloudreve(cloudreve_program, folder / "slave", free_port(), NODE_SECRET)
        stack.callback(node.stop)
        await node.start("/")
        trusted, untrusted = (certify(folder, "127.0.0.1", name) for name in ("trusted", "untrusted"))
        both = folder / "both.pem"
        both.write_bytes(trusted.read_bytes() + untrusted.read_bytes())
        ways = {"s3": store.url, "s3-other": store.url, "s3-tls": store.url, "slave": node.url}
        fronts = {
            name: await stack.enter_async_context(Front(free_port(), url, tls(trusted) if name == "s3-tls" else None))
            for name, url in ways.items()
        }
        trusts = dict.fromkeys(("AWS_CA_BUNDLE", "SSL_CERT_FILE"), str(both))
        master = cloudreve(
            cloudreve_program,
            folder / "master",
            free_port(),
            **trusts,
        )
        stack.callback(master.stop)
        await master.start("/api/v4/site/ping")
        site = await stack.enter_async_context(Site(master.url))
        slave = {"name": "slave", "type": "slave", "status": "active", "server": fronts["slave"].url}
        slave |= {"slave_key": NODE_SECRET, "capabilities": "AA==", "settings": {}}
        number = (await site.call("PUT", "admin/node", {"node": slave}, site.admin))["id"]
        owners = {name: await site.owner(name, policy) for name, policy in policies(fronts, number).items()}
        given = {"CLOUDREVE__IMAGE_HOSTS": json.dumps(["127.0.0.1"]), "CLOUDREVE__CA_FILE": str(trusted)}
        hasty = Gateway(site.url, folder / "hasty.log", DESCRIPTORS, **given, **HASTY)
        plain = Gateway(site.url, folder / "plain.log", DESCRIPTORS, **given)
        for gateway in (hasty, plain):
            stack.callback(gateway.kill)
            await gateway.start()
        yield Stage(site, owners, fronts, hasty, plain, folder / "s3" / "root", trusted, untrusted)
