"""`thumb-proxy purge`: gives the order to a gateway that runs, by its admin port."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from http import HTTPStatus

from proxy.settings import AdminSettings

PATIENCE_S = 30.0
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound to


def give(admin: AdminSettings, order: Mapping[str, object]) -> tuple[bool, str]:
    """Send the order; tell whether all processes were told, and what the gateway has answered."""
    headers = {"Content-Type": "application/json"}
    if admin.token is not None:
        headers["Authorization"] = f"Bearer {admin.token.get_secret_value()}"
    host = _EVERY_ADDRESS.get(admin.host, admin.host)
    connection = http.client.HTTPConnection(host, admin.port, timeout=PATIENCE_S)
    try:
        connection.request("POST", "/purge", json.dumps(order), headers)
        response = connection.getresponse()
        return response.status == HTTPStatus.OK, _said(response.read())
    except (OSError, http.client.HTTPException) as error:
        return False, f"No gateway answers at {host}, port {admin.port}: {type(error).__name__}."
    finally:
        connection.close()


def _said(raw: bytes) -> str:
    try:
        answer = json.loads(raw)
    except ValueError:
        return "The gateway's answer is no JSON."
    members = answer if isinstance(answer, dict) else {"answer": answer}
    return "\n".join(f"{name}: {value}" for name, value in members.items())
