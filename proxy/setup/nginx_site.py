"""Makes an nginx site of the shipped one: name, certificate, gateways and Cloudreve."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from yarl import URL

from proxy.setup.shipped import shipped

SITE, UPSTREAMS = "/etc/nginx/conf.d/thumb-proxy.conf", "/etc/nginx/conf.d/upstreams.conf"


def site(name: str, certificate: tuple[Path, Path] | None) -> str:
    """Give the site for a server name; with a certificate and its key it is https, and http leads there."""
    text = _replaced(shipped("thumb-proxy.conf"), "server_name cloud.example.com;", f"server_name {name};")
    if certificate is None:
        return text
    chain, key = certificate
    tls = f"listen 443 ssl;\n    ssl_certificate {chain};\n    ssl_certificate_key {key};"
    leading = f"server {{\n    listen 80;\n    server_name {name};\n    return 301 https://{name}$request_uri;\n}}\n"
    return f"{_replaced(text, 'listen 80;', tls)}\n{leading}"


def upstreams(ports: Sequence[int], cloudreve: str, *, whole_site: bool) -> str:
    """Give the places of gateways and Cloudreve; in front of the whole site all goes to the gateways."""
    text = shipped("upstreams.conf")
    first = re.search(r"    server 127\.0\.0\.1:8080 .*\n", text)
    lines = "".join(f"    server 127.0.0.1:{port} max_fails=0;\n" for port in ports)
    text = re.sub(r"(?:    server 127\.0\.0\.1:808\d .*\n)+", lines, text) if first else text
    url = URL(cloudreve)
    host = f"[{url.raw_host}]" if ":" in (url.raw_host or "") else url.raw_host
    there = lines if whole_site else f"    server {host}:{url.port} max_fails=0;\n"
    return _replaced(text, "    server 127.0.0.1:5212 max_fails=0;\n", there)


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise LookupError(f"the shipped file has no single {old!r}")
    return text.replace(old, new)
