"""The kinds of values a setting may hold. Each description says what is accepted, in the words of an error message."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from yarl import URL

from proxy.domain.ssrf import Origins
from proxy.settings.lists import each_once, texts
from proxy.settings.redis_url import read_redis_url

if TYPE_CHECKING:
    from collections.abc import Callable

YEAR_S = 31_536_000
MIN_SEAL_KEY_CHARS = 32
_TAKEN_PATHS = frozenset({"/api/v4/file/thumb", "/healthz", "/readyz", "/thumb", "/thumb/info"})
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9.])?")


def is_host(text: str) -> bool:
    """Say whether the text is a host name or an IP address, without brackets."""
    try:
        return bool(_NAME.fullmatch(text) or ip_address(text))
    except ValueError:
        return False


def _not_boolean(value: object) -> object:
    """Keep `true` from counting as 1."""
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")  # noqa: TRY004 - pydantic collects ValueError alone
    return value


def _listener(text: str) -> str:
    """Return the host unchanged when something can listen on it."""
    if not is_host(text):
        raise ValueError("this is no host name and no IP address, and a port has a key of its own")
    return text


def _address(text: str) -> URL:
    """Return the parts of an http(s) URL; ValueError says what is wrong with it."""
    scheme, _, rest = text.partition("://")
    if scheme in {"http", "https"} and rest[:1] in {"", ":", "/"}:
        raise ValueError(f"it names no host behind {scheme}://")
    try:
        url = URL(text)
    except (ValueError, TypeError):
        raise ValueError("this is no URL") from None
    if url.scheme not in {"http", "https"}:
        raise ValueError("it has to start with http:// or https://")
    if url.user is not None or url.password is not None:
        raise ValueError("a user name or password does not belong here")
    if not is_host(url.raw_host or "") or url.explicit_port == 0 or not text.isprintable():
        raise ValueError("its host or port is not valid")
    return url


def _origin(text: str) -> str:
    """Return the origin as comparisons need it: in lower case, without default port and trailing slash."""
    url = _address(text)
    if url.path not in {"", "/"} or "?" in text or "#" in text:
        raise ValueError("nothing may follow the host and port")
    origin = str(url.origin())
    _check(lambda: Origins(origin))
    return origin


_STRIPPED = re.compile(r"(?!\.)[A-Za-z0-9._-]+(?:/(?!\.)[A-Za-z0-9._-]+)*")


def _public_address(text: str) -> str:
    """Return an origin, with a path where a proxy strips one, in the form that URLs begin with."""
    origin, slash, rest = text.strip().partition("://")
    host, _, path = rest.partition("/")
    path = path.rstrip("/")
    if path and not _STRIPPED.fullmatch(path):
        raise ValueError("its path may have letters, digits, dots, hyphens and underscores behind each slash")
    return _origin(origin + slash + host) + (f"/{path}" if path else "")


def _origin_or_any(text: str) -> str:
    """Return an origin, or the star that stands for every one."""
    return text if text == "*" else _origin(text)


def _image_host(text: str) -> str:
    """Return `host`, `host:port` or `.suffix` in lower case."""
    if "/" in text or "*" in text:
        raise ValueError("this is no host; a whole domain is written .example.com")
    url = _address(f"https://{text.removeprefix('.')}")
    if "?" in text or "#" in text or (text.startswith(".") and url.explicit_port is not None):
        raise ValueError("this is no host; a suffix takes no port")
    host = f"[{url.raw_host}]" if ":" in (url.raw_host or "") else url.raw_host
    port = f":{url.explicit_port}" if url.explicit_port else ""
    entry = f"{'.' if text.startswith('.') else ''}{host}{port}"
    _check(lambda: Origins("http://cloudreve", image_hosts=(entry,)))
    return entry


def _check(use: Callable[[], object]) -> None:
    """Ask the policy that will use the value, so that nothing is accepted here and refused there."""
    try:
        use()
    except ValueError as error:
        raise ValueError(f"it {error}") from None


def _secret(value: SecretStr) -> SecretStr:
    """Return a secret that has something in it."""
    if not value.get_secret_value().strip():
        raise ValueError("it is empty; leave the key out instead")
    return value


def _long_secret(value: SecretStr) -> SecretStr:
    """Return a secret that cannot be guessed."""
    if len(value.get_secret_value().strip()) < MIN_SEAL_KEY_CHARS:
        raise ValueError(f"a key needs {MIN_SEAL_KEY_CHARS} characters or more")
    return value


def _free_path(text: str) -> str:
    """Return a path at which the gateway serves nothing else."""
    if text in _TAKEN_PATHS:
        raise ValueError("the gateway serves something else there")
    return text


def _network(text: str) -> str:
    """Return the network in its usual spelling; an address alone is a network of one."""
    try:
        return str(ip_network(text))
    except ValueError as error:
        bits = " (bits are set behind the network's length)" if "host bits" in str(error) else ""
        raise ValueError(f"this is no network{bits}") from None


def _redis_url(value: SecretStr) -> SecretStr:
    """Return a URL that leads to a Redis; the messages hold no part of it."""
    read_redis_url(value.get_secret_value())
    return value


NUMBER = BeforeValidator(_not_boolean)
Port: TypeAlias = Annotated[int, NUMBER, Field(ge=0, le=65535, description="a whole number from 0 to 65535")]
Seconds: TypeAlias = Annotated[
    float, NUMBER, Field(gt=0, le=YEAR_S, description="a number of seconds above 0, at most a year")
]
SecondsOrZero: TypeAlias = Annotated[
    float, NUMBER, Field(ge=0, le=YEAR_S, description="a number of seconds from 0 to a year")
]
MinuteAtMost: TypeAlias = Annotated[float, NUMBER, Field(ge=0, le=60, description="a number of seconds from 0 to 60")]
Bytes: TypeAlias = Annotated[int, NUMBER, Field(gt=0, description="a whole number of bytes above 0")]
Count: TypeAlias = Annotated[int, NUMBER, Field(gt=0, description="a whole number above 0")]
CountOrZero: TypeAlias = Annotated[int, NUMBER, Field(ge=0, description="a whole number, 0 or more")]
Switch: TypeAlias = Annotated[bool, Field(description="true or false")]
Workers: TypeAlias = Annotated[int, NUMBER, Field(ge=1, le=256, description="a whole number from 1 to 256")]
Host: TypeAlias = Annotated[str, AfterValidator(_listener), Field(description="a host name or an IP address")]
Origin: TypeAlias = Annotated[
    str,
    AfterValidator(_origin),
    Field(description="an address as http://host:port or https://host, without a path"),
]
PublicAddress: TypeAlias = Annotated[str, AfterValidator(_public_address)]
OriginList: TypeAlias = Annotated[
    tuple[Origin, ...],
    BeforeValidator(texts),
    AfterValidator(each_once),
    Field(description='a list of addresses without a path, as ["https://cloud.example.com"]'),
]
AnyOrigin: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_origin_or_any)], ...],
    BeforeValidator(texts),
    AfterValidator(each_once),
    Field(description='a list of addresses without a path, or ["*"] for every site'),
]
HostList: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_image_host)], ...],
    BeforeValidator(texts),
    AfterValidator(each_once),
    Field(description='a list of host, host:port or .suffix, as ["bucket.example.com", ".cdn.example.com"]'),
]
Secret: TypeAlias = Annotated[SecretStr, AfterValidator(_secret)]
RedisUrl: TypeAlias = Annotated[SecretStr, AfterValidator(_redis_url)]
SealKeys: TypeAlias = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_long_secret)], ...],
    BeforeValidator(texts),
    Field(description=f"a list of secrets of {MIN_SEAL_KEY_CHARS} characters or more each, the first of which seals"),
]
NetworkList: TypeAlias = Annotated[
    tuple[Annotated[str, AfterValidator(_network)], ...],
    BeforeValidator(texts),
    AfterValidator(each_once),
    Field(description='a list of addresses and networks, as ["127.0.0.0/8", "10.1.2.3", "fd00::/8"]'),
]
Namespace: TypeAlias = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="1 to 64 letters, digits, dots, underscores or hyphens",
    ),
]
SessionPath: TypeAlias = Annotated[
    str,
    AfterValidator(_free_path),
    Field(
        max_length=100,
        pattern=r"^(/[A-Za-z0-9_-]+)+$",
        description="a path such as /session: letters, digits, hyphens and underscores behind each slash",
    ),
]
CookieName: TypeAlias = Annotated[
    str,
    Field(
        max_length=64,
        pattern=r"^thumb_[A-Za-z0-9_-]+$",
        description="a name such as thumb_session: thumb_ and then letters, digits, hyphens or underscores",
    ),
]
ClientId: TypeAlias = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
Scopes: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z_.]+ )*openid( [A-Za-z_.]+)*$",
        description='scopes between blanks, openid among them, as "openid offline_access Files.Read"',
    ),
]
