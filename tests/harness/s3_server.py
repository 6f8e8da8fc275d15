"""A real S3 server on loopback, rclone's, which checks signatures; objects are files in a folder."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self
from urllib.parse import quote

LIFE_S = 3600
ACCESS, SECRET = "thumb-proxy-test", "secret-of-no-value"
_REGION = "us-east-1"
_STARTED = re.compile(rb"Starting s3 server on \[(http://127\.0\.0\.1:\d+)/\]")


class S3Server:
    """One server process. Without `is_private` everybody may read."""

    def __init__(self, folder: Path, *, is_private: bool = True) -> None:
        self._folder = folder
        self._is_private = is_private
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> Self:
        """Start it where it was before, and wait until it listens."""
        (self._folder / "bucket").mkdir(exist_ok=True)
        program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or "rclone"
        keys = ("--auth-key", f"{ACCESS},{SECRET}") if self._is_private else ()
        address = self.url.removeprefix("http://") or "127.0.0.1:0"
        words = (program, "serve", "s3", *keys, "--config", "/dev/null", "--dir-cache-time", "0s", "--addr", address)
        self._process = subprocess.Popen((*words, str(self._folder)), stderr=subprocess.PIPE)  # noqa: S603
        self.url = self._listens()
        return self

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process = None

    def put(self, key: str, body: bytes) -> None:
        """Store an object."""
        (self._folder / "bucket" / key).write_bytes(body)

    def delete(self, key: str) -> None:
        """Delete an object."""
        (self._folder / "bucket" / key).unlink()

    def sign(self, key: str, secret: str | None = None) -> str:
        """Write a URL of an object: presigned, with the server's secret or another, or plain where everybody may read.

        The signature is AWS Signature Version 4 in the query
        (docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html).
        """
        path = f"/bucket/{quote(key, safe='/~')}"
        return f"{self.url}{path}" + (f"?{self._signed(path, secret or SECRET)}" if self._is_private else "")

    def _signed(self, path: str, secret: str) -> str:
        date = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = (date[:8], _REGION, "s3", "aws4_request")
        fields = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": "/".join((ACCESS, *scope)),
            "X-Amz-Date": date,
            "X-Amz-Expires": str(LIFE_S),
            "X-Amz-SignedHeaders": "host",
        }
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
        host = self.url.removeprefix("http://")
        request = "\n".join(("GET", path, query, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"))
        told = "\n".join(("AWS4-HMAC-SHA256", date, "/".join(scope), hashlib.sha256(request.encode()).hexdigest()))
        key = f"AWS4{secret}".encode()
        for part in (*scope, told):
            key = hmac.digest(key, part.encode(), "sha256")
        return f"{query}&X-Amz-Signature={key.hex()}"

    def _listens(self) -> str:
        assert self._process is not None
        assert self._process.stderr is not None
        said = b""
        for line in self._process.stderr:
            said += line
            if started := _STARTED.search(line):
                return started[1].decode()
        raise AssertionError(said.decode())
