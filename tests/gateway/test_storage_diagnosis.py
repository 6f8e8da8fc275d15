"""Log and doctor say which storage failed, how, and what helps; never its signed URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from deploy.drills.storage.certificates import certify, tls
from proxy.doctor.examination import examine
from proxy.doctor.finding import Verdict
from proxy.standin.faults import Exchange, Fault
from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayLauncher, in_share, settings_for
from tests.harness.redis_server import free_port
from tests.harness.relay import Relay

SECRETS = ("X-Amz", "Signature=", "/bucket/")
"""Parts of signed URLs of the stand-in's storage."""


class Denies(Fault):
    """S3's error, as XML under its status."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        self.status = status
        self.text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"

    async def play(self, exchange: Exchange) -> web.StreamResponse:  # noqa: ARG002 - nothing proper is left of it
        """Answer."""
        return web.Response(status=self.status, text=self.text, content_type="application/xml")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.gateway.STORED_AFTER_S", (0.0,))


@pytest.fixture
async def secure(cloudreve: StandIn, tmp_path: Path) -> AsyncIterator[Path]:
    """Let the storage speak TLS with a certificate of an own CA; give that CA's file."""
    ca_file = certify(tmp_path, "127.0.0.1")
    async with Relay(int(cloudreve.foreign_url.rpartition(":")[2]), tls(ca_file)) as relay:
        cloudreve.foreign, cloudreve.foreign_origin = True, f"https://127.0.0.1:{relay.port}"
        yield ca_file


def storage(cloudreve: StandIn) -> str:
    return (cloudreve.foreign_origin or cloudreve.foreign_url).partition("//")[2]


async def asked(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: list[Any], **settings: object
) -> tuple[int, Any]:
    """Ask a new gateway for a picture; give the status, and the warning if there is one."""
    gateway = await launcher.open(cloudreve={"image_hosts": ["127.0.0.1"], **settings})
    reply = await gateway.ask(in_share(cloudreve))
    assert not [secret for secret in SECRETS if secret in str(log_entries)]
    return reply.status, next((line for line in log_entries if line["event"] == "request failed"), None)


async def checked(cloudreve: StandIn, **settings: object) -> str:
    """Give what the doctor says of a fetch."""
    configured = settings_for(cloudreve.own_url, cloudreve={"image_hosts": ["127.0.0.1"], **settings})
    findings = await examine(configured, in_share(cloudreve))
    told = next(finding.text for finding in findings if finding.subject == "fetch")
    assert not [secret for secret in SECRETS if secret in told]
    return told


@pytest.mark.usefixtures("secure")
async def test_an_untrusted_certificate_is_told(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: list[Any]
) -> None:
    """It is no closed port; the setting that helps is named."""
    status, warning = await asked(cloudreve, launcher, log_entries)
    assert (status, warning["category"], warning["storage"]) == (503, "untrusted_certificate", storage(cloudreve))
    assert "certificate" in warning["reason"]
    assert "cloudreve.ca_file" in warning["advice"]
    told = await checked(cloudreve)
    assert "certificate" in told
    assert f"{storage(cloudreve)}. " in told
    assert "cloudreve.ca_file" in told


async def test_a_closed_port_is_told(cloudreve: StandIn, launcher: GatewayLauncher, log_entries: list[Any]) -> None:
    cloudreve.foreign, cloudreve.foreign_origin = True, f"http://127.0.0.1:{free_port()}"
    status, warning = await asked(cloudreve, launcher, log_entries)
    assert (status, warning["category"], warning["storage"]) == (503, "unreachable", storage(cloudreve))
    assert "connection" in warning["reason"]
    assert "certificate" not in await checked(cloudreve)


async def test_plain_http_in_place_of_tls_is_told(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: list[Any]
) -> None:
    cloudreve.foreign, cloudreve.foreign_origin = True, cloudreve.foreign_url.replace("http:", "https:")
    status, warning = await asked(cloudreve, launcher, log_entries)
    assert (status, warning["category"]) == (503, "unreachable")
    assert "TLS" in warning["reason"]


async def test_a_certificate_of_an_own_ca_is_trusted(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: list[Any], secure: Path
) -> None:
    """With cloudreve.ca_file, by the gateway and by the doctor."""
    assert await asked(cloudreve, launcher, log_entries, ca_file=str(secure)) == (200, None)
    assert "image/png" in await checked(cloudreve, ca_file=str(secure))


@pytest.mark.parametrize(
    ("fault", "status", "advice"),
    [
        (Denies(403, "SignatureDoesNotMatch"), 503, "storage policy"),
        (Denies(403, "RequestTimeTooSkewed"), 503, "NTP"),
        (Denies(403, "AccessDenied", "Request has expired"), 503, "NTP"),
        (Denies(403, "AccessDenied"), 503, "read the objects"),
        (Denies(404, "NoSuchKey"), 503, "bucket"),
        (Denies(503, "SlowDown"), 503, "limit"),
        (Denies(500, "InternalError"), 503, ""),
    ],
    ids=lambda value: f"{value.status} {value.text[45:60]}" if isinstance(value, Denies) else None,
)
async def test_storages_status_and_code_are_told(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: list[Any], fault: Denies, status: int, advice: str
) -> None:
    cloudreve.foreign = True
    cloudreve.fail("fetch", fault)
    code = fault.text.partition("<Code>")[2].partition("<")[0]
    answered, warning = await asked(cloudreve, launcher, log_entries)
    assert (answered, warning["storage"]) == (status, f"{storage(cloudreve)} {fault.status} {code}")
    assert advice in warning["advice"]
    told = await checked(cloudreve)
    assert f"{storage(cloudreve)} {fault.status} {code}." in told
    assert advice in told


async def test_a_remembered_storage_failure_says_as_much(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: list[Any]
) -> None:
    """Each warning names the storage, also of a request for which it was not asked."""
    cloudreve.foreign = True
    cloudreve.fail("fetch", Denies(404, "NoSuchKey"))
    gateway = await launcher.open(cloudreve={"image_hosts": ["127.0.0.1"]})
    replies = [await gateway.ask(in_share(cloudreve)) for _ in range(3)]
    assert {reply.problem["detail"] for reply in replies} == {
        "The picture is granted, but its storage does not give it (yet)."
    }
    assert all(storage(cloudreve) not in reply.body.decode() for reply in replies), "visitors need not know the host"
    fetches = cloudreve.calls.count("fetch")
    assert (await gateway.ask(in_share(cloudreve))).status == 503
    assert cloudreve.calls.count("fetch") == fetches


async def test_two_hosts_of_pictures_are_told_as_both_needed(cloudreve: StandIn) -> None:
    """After a change of the storage policy; with the line to paste all is well."""
    async with Relay(int(cloudreve.foreign_url.rpartition(":")[2])) as relay:
        cloudreve.foreign, other = True, f"http://127.0.0.1:{relay.port}"
        cloudreve.library.moved = {"/album/two.png": other}
        hosts = [cloudreve.foreign_url.removeprefix("http://"), other.removeprefix("http://")]
        findings = await examine(settings_for(cloudreve.own_url), in_share(cloudreve))
        [told] = [finding for finding in findings if finding.subject == "image hosts"]
        assert all(host in told.text for host in hosts)
        assert "both are needed" in told.text
        assert all(host in told.remedy for host in hosts)
        mended = settings_for(cloudreve.own_url, cloudreve={"image_hosts": hosts})
        verdicts = {finding.subject: finding.verdict for finding in await examine(mended, in_share(cloudreve))}
        assert verdicts["image hosts"] is Verdict.OK
