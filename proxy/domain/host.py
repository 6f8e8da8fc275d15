"""The syntax of a host with its port (RFC 9110 §7.2)."""

from __future__ import annotations

import re

PATTERN = r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
"""As a request may name it in `Host`."""
HOST_TEXT = re.compile(PATTERN)
HOST = re.compile(PATTERN.encode())
ORIGIN_HOST = re.compile(r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
"""As it may stand in an origin that others compare, and links begin with: in lower case, without empty labels."""
