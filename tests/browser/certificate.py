"""A certificate that one Chromium believes, whatever name it is shown under."""

from __future__ import annotations

import ssl
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.drills.storage import certificates


@dataclass(frozen=True, slots=True)
class Certificate:
    """For servers a context; for the browser a flag."""

    tls: ssl.SSLContext
    flag: str
    """With `--ignore-certificate-errors` pages would work too, but Chromium would keep nothing of them."""


def certify(folder: Path) -> Certificate:
    path = certificates.certify(folder, "*.site.test", "certificate")
    key = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
    public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = b64encode(sha256(public).digest()).decode()
    return Certificate(certificates.tls(path), f"--ignore-certificate-errors-spki-list={pin}")
