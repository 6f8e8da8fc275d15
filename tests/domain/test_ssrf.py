"""The guard: signed URLs reach the site unchanged, and nothing else reaches what is not public."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from proxy.domain.errors import UpstreamError
from proxy.domain.ssrf import Origins, Target, is_public_address

INTERNAL = "http://127.0.0.1:5212"
ORIGINS = Origins(
    INTERNAL,
    ("https://cloud.example.com", "http://[2001:DB8::1]:8080/"),
    ("minio.lan:9000", "bucket.example.net", ".cdn.example.org", "10.0.0.5", "[fd00::1]:9000"),
)
SIGNED = "/api/v4/file/content/3acW/0/sunset.jpg.jpg?sign=DG5XpY_z%3D%3A1795438287"


def same_host(one: str | None, other: str | None) -> bool:
    """Compare two hosts, addresses by their value."""
    assert one
    assert other
    if ":" in one and ":" in other:
        return ip_address(one) == ip_address(other)
    return one == other.removesuffix(".")


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1%eth0",
        "2001:200::1",
        "2606:4700::5eff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_addresses_of_the_public_internet_are_public(address: str) -> None:
    """Those next to a private range, and IPv6 that leads to a public IPv4, included."""
    assert is_public_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - it is refused
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_addresses_kept_for_something_else_are_not_public(address: str) -> None:
    assert not is_public_address(address)
    bits = int(IPv4Address(address))
    for embedding in (0xFFFF << 32 | bits, 0x64FF9B << 96 | bits, 0x2002 << 112 | bits << 80 | 1, bits):
        assert not is_public_address(str(IPv6Address(embedding)))


@pytest.mark.parametrize(
    "address",
    [
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::FFFF:7f00:1",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "::8.8.8.8",
        "64:ff9b::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2002:c0a8:101::",
        "2606:4700::5efe:a9fe:a9fe",
        "2606:4700::200:5efe:127.0.0.1",
        "2606:4700::5efe:8.8.8.8",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_only_global_unicast_ipv6_is_public(address: str) -> None:
    """Loopback, private, link-local, multicast, documentation, transition: all refused."""
    assert not is_public_address(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "example.com",
        "8.8.8",
        "8.8.8.8.",
        "8.8.8.8:80",
        "134744072",
        "0x8080808",
        "010.8.8.8",
        "8.8.8.8/32",
        " 8.8.8.8",
        "\uff18.8.8.8",
        "[2606:4700:4700::1111]",
        "2606:4700:4700::1111::",
        "%eth0",
    ],
)
def test_a_text_that_is_no_address_is_not_public(text: str) -> None:
    assert not is_public_address(text)


@given(st.ip_addresses() | st.ip_addresses(v=6, network="2000::/3") | st.ip_addresses(network="128.0.0.0/1"))
def test_nothing_is_public_that_the_standard_library_calls_private(address: IPv4Address | IPv6Address) -> None:
    """A second opinion: its table is another one, and looks through mapped addresses alone."""
    if is_public_address(str(address)):
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_multicast
        assert not address.is_unspecified
        assert not address.is_private or isinstance(address, IPv6Address)


OWN_ORIGINS = [
    "https://cloud.example.com",
    "HTTPS://Cloud.Example.COM",
    "https://cloud.example.com:443",
    "https://cloud.example.com.",
    "https://cloud.example.com.:443",
    "http://[2001:db8::1]:8080",
    "http://[2001:db8:0:0::0001]:8080",
    "http://127.0.0.1:5212",
]


@pytest.mark.parametrize("origin", OWN_ORIGINS)
@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (SIGNED, SIGNED),
        (SIGNED + "#fragment", SIGNED),
        ("/f/3acW/one.png", "/f/3acW/one.png"),
        ("/api/a%2fb/%E6%97%a5/../c//d?x=%3d&y=+&z=a/b?c", "/api/a%2fb/%E6%97%a5/../c//d?x=%3d&y=+&z=a/b?c"),
        ("/api/@evil.example/x", "/api/@evil.example/x"),
        ("/api/a;b=c,d|e^f'(g)[h]{i}", "/api/a;b=c,d|e^f'(g)[h]{i}"),
        ("/api/%zz?%", "/api/%zz?%"),
    ],
)
def test_the_sites_own_urls_lead_to_its_internal_address(origin: str, rest: str, expected: str) -> None:
    """Under the same path and query, byte for byte: they are signed."""
    target = ORIGINS.target(origin + rest)
    assert target.internal
    assert not target.guarded
    assert str(target.url.origin()) == INTERNAL
    assert target.url.raw_path_qs == expected


@pytest.mark.parametrize("origin", OWN_ORIGINS)
@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("", "/"),
        ("/", "/"),
        ("?x=1", "/?x=1"),
        ("/pics/one.png?X-Amz-Signature=a%2fb", "/pics/one.png?X-Amz-Signature=a%2fb"),
        ("/apis/x", "/apis/x"),
        ("//evil.example/x", "//evil.example/x"),
        ("/@evil.example/x", "/@evil.example/x"),
    ],
)
def test_storage_below_the_sites_public_address_is_fetched_there(origin: str, rest: str, expected: str) -> None:
    """Cloudreve at its internal address knows nothing of it; the site is trusted like a listed host."""
    target, is_base = ORIGINS.target(origin + rest), origin == INTERNAL
    assert (target.internal, target.guarded) == (is_base, False)
    assert (str(target.url.origin()) == INTERNAL) == is_base
    assert target.url.raw_path_qs == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://cloud.example.com/x",
        "https://cloud.example.com:8443/x",
        "https://cloud.example.com.evil.example/x",
        "https://evilcloud.example.com/x",
        "https://cloud-example.com/x",
        "https://127.0.0.1:5212/x",
        "http://127.0.0.1/x",
        "http://127.0.0.1:52120/x",
        "http://[::ffff:127.0.0.1]:5212/x",
        "http://localhost:5212/x",
        "http://[2001:db8::1]/x",
        "http://evil.example/?https://cloud.example.com/",
        "http://evil.example#https://cloud.example.com/",
        "http://evil.example#@cloud.example.com/",
        "http://evil.example/https://cloud.example.com/",
    ],
)
def test_another_scheme_host_or_port_is_another_site(url: str) -> None:
    """It is fetched where it says, and only from a public address."""
    target = ORIGINS.target(url)
    assert not target.internal
    assert target.guarded
    assert same_host(target.url.host, urlsplit(url).hostname)
    assert target.url.port == urlsplit(url).port or urlsplit(url).port is None


@pytest.mark.parametrize(
    ("url", "guarded"),
    [
        ("http://minio.lan:9000/x", False),
        ("https://MINIO.lan.:9000/x", False),
        ("http://minio.lan/x", True),
        ("http://minio.lan:9001/x", True),
        ("http://a.minio.lan:9000/x", True),
        ("https://bucket.example.net/x", False),
        ("https://bucket.example.net:8443/x", False),
        ("https://a.bucket.example.net/x", True),
        ("https://a.cdn.example.org/x", False),
        ("https://a.b.CDN.example.org:8443/x", False),
        ("https://cdn.example.org/x", True),
        ("https://evilcdn.example.org/x", True),
        ("https://a.cdn.example.org.evil.example/x", True),
        ("http://10.0.0.5/x", False),
        ("http://10.0.0.50/x", True),
        ("http://[::ffff:10.0.0.5]/x", True),
        ("http://[FD00:0::1]:9000/x", False),
        ("http://[fd00::1]/x", True),
        ("http://127.0.0.1#@bucket.example.net/x", True),
        ("http://127.0.0.1?@bucket.example.net/x", True),
        ("http://127.0.0.1/@bucket.example.net/x", True),
    ],
)
def test_listed_hosts_are_not_guarded(url: str, guarded: bool) -> None:
    """`host` for any port, `host:port` for one, `.suffix` for what is below it."""
    target = ORIGINS.target(url)
    assert target.guarded is guarded
    assert not target.internal


def test_a_foreign_url_is_fetched_as_it_is() -> None:
    """Its path and query are signed as well; only scheme and host take their usual case."""
    target = ORIGINS.target("HTTPS://Bucket.S3.Example:8443/a%2fb//%C3%a9?X-Sig=a%2Bb+c%3d&y#z")
    assert str(target.url) == "https://bucket.s3.example:8443/a%2fb//%C3%a9?X-Sig=a%2Bb+c%3d&y"


NASTY = [
    "",
    "/relative",
    "//cloud.example.com/x",
    "cloud.example.com/x",
    "ftp://cloud.example.com/x",
    "file:///etc/passwd",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "gopher://127.0.0.1:6379/_x",
    "http:cloud.example.com/x",
    "http:/cloud.example.com/x",
    "http:///cloud.example.com/x",
    "http://",
    "http:///",
    "http://?x",
    "http://#x",
    "http://:80/x",
    "\u017fhttp://cloud.example.com/x",
    "http\u017f://cloud.example.com/x",
    " http://cloud.example.com/x",
    "http://cloud.example.com/x ",
    "http://cloud.example.com/a b",
    "http://cloud.example.com/\n",
    "http://cloud.example.com/\r\nHost: evil.example",
    "ht\ttp://cloud.example.com/x",
    "http://127.0.0.1\t.example.com/x",
    "http://cloud.example.com/\x00",
    "http://cloud.example.com/\x7f",
    "http://cloud.example.com/日",
    "http://user@cloud.example.com/x",
    "http://user:pw@cloud.example.com/x",
    "http://@cloud.example.com/x",
    "http://cloud.example.com@127.0.0.1/x",
    "http://cloud.example.com:80@127.0.0.1/x",
    "http://a@b@cloud.example.com/x",
    "http://evil.example\\@127.0.0.1/x",
    "http://127.0.0.1\\@evil.example/x",
    "http:\\\\127.0.0.1/x",
    "http://cloud.example.com\\x",
    "http://cloud.example.com/..\\x",
    "http://127.0.0.1 @evil.example/x",
    "http://cloud.example.com:/x",
    "http://cloud.example.com:0/x",
    "http://cloud.example.com:65536/x",
    "http://cloud.example.com:999999/x",
    "http://cloud.example.com:80:80/x",
    "http://cloud.example.com:+80/x",
    "http://cloud.example.com:8\u0660/x",
    "http://cloud.example.com:80a/x",
    "http://cloud.example.com:x/x",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0X7F.1/",
    "http://0x7f.1/",
    "http://0x/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.0.0.1./",
    "http://127.0.0.0x1/",
    "http://127.0.0.01/",
    "http://127.0.0.256/",
    "http://127.0.0.1.1/",
    "http://0/",
    "http://evil.example.1/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://loc\u00adalhost/",
    "http://\uff4cocalhost/",
    "http://b\u00fccher.example/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.%31/",
    "http://cloud.example.com%2f@evil.example/",
    "http://cloud.example.com%00.evil.example/",
    "http://evil.example%23.cloud.example.com/",
    "http://[::1/",
    "http://::1/",
    "http://[]/",
    "http://[::1]x/",
    "http://x[::1]/",
    "http://[::1]:x/",
    "http://[::1]@evil.example/",
    "http://[127.0.0.1]/",
    "http://[::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[v1.x]/",
    "http://[0:0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.256]/",
    "http://.cloud.example.com/",
    "http://cloud..example.com/",
    "http://cloud.example.com../",
    "http://./",
    "http://../",
    "http://cloud.example.com,evil.example/",
    "http://cloud.example.com;evil.example/",
    "http://cloud.example.com&@evil.example/",
    "http://cloud.example.com!/",
    "http://*.example.com/",
    "http://" + "a" * 64 + ".example/",
    "http://" + "a." * 127 + "example/",
]


@pytest.mark.parametrize("url", NASTY)
def test_urls_that_two_parsers_could_read_differently_are_refused(url: str) -> None:
    """The client that connects must not see another host than the guard did."""
    with pytest.raises(UpstreamError):
        ORIGINS.target(url)


@pytest.mark.parametrize("url", NASTY)
def test_a_message_never_repeats_the_url(url: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        ORIGINS.target(f"{url}/hunter2")
    assert "hunter2" not in str(caught.value)
    assert "example" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_target_does_not_print_its_url() -> None:
    assert "hunter2" not in repr(ORIGINS.target("http://a.example/hunter2"))


def test_messages_say_what_is_wrong() -> None:
    """For the log of a person who looks for a wrong site URL."""
    for url, reason in [
        ("ftp://x/", "does not start with http:// or https://"),
        ("http://u@x/", "names no plain host"),
        ("http://x/ y", "blank"),
        ("http://x:0/", "no possible port"),
        ("http://1/", "no valid address"),
    ]:
        with pytest.raises(UpstreamError, match=reason):
            ORIGINS.target(url)


hosts = st.sampled_from(
    [
        "cloud.example.com",
        "minio.lan",
        "evil.example",
        "127.0.0.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "x.cdn.example.org",
        "1",
    ]
)
pieces = st.sampled_from(
    [*"/\\@#?:.%[]; ", "http://", "https://", "%2f", "//", ":80", ":9000", "\t", "0x7f", "。", "u:p@"]
)
urls = st.lists(st.one_of(pieces, hosts), max_size=8).map("".join)


@given(
    st.one_of(urls, urls.map(lambda rest: f"http://{rest}"), st.text(max_size=30).map(lambda rest: f"http://{rest}"))
)
@example("http://127.0.0.1#@cloud.example.com/")
@example("http://[::1]:80/")
def test_every_accepted_url_has_one_host_for_all_parsers(url: str) -> None:
    """The standard library and yarl, which aiohttp connects with, see the host that was judged."""
    try:
        target = ORIGINS.target(url)
    except UpstreamError:
        return
    assert target.url.scheme in {"http", "https"}
    assert target.url.user is None
    assert target.url.password is None
    assert URL(str(target.url)).host == URL(str(target.url), encoded=True).host == target.url.host
    seen = urlsplit(url).hostname
    assert same_host("cloud.example.com" if target.internal else target.url.host, seen)


SITE = ORIGINS.target("https://cloud.example.com" + SIGNED)
FOREIGN = ORIGINS.target("https://bucket.s3.example/a/b?sign=x")
LISTED = ORIGINS.target("https://bucket.example.net/a/b")
PLAIN = ORIGINS.target("http://bucket.s3.example/a/b")


@pytest.mark.parametrize(
    ("base", "location", "expected", "guarded"),
    [
        (SITE, "/other?sign=%3d", f"{INTERNAL}/other?sign=%3d", False),
        (SITE, "?sign=y", f"{INTERNAL}/api/v4/file/content/3acW/0/sunset.jpg.jpg?sign=y", False),
        (SITE, "https://cloud.example.com/api/x//%2f", f"{INTERNAL}/api/x//%2f", False),
        (SITE, "https://cloud.example.com/x//%2f", "https://cloud.example.com/x//%2f", False),
        (FOREIGN, "https://cloud.example.com/pics/x", "https://cloud.example.com/pics/x", False),
        (SITE, "//127.0.0.1:5212/x", f"{INTERNAL}/x", False),
        (SITE, "http://bucket.s3.example/x", "http://bucket.s3.example/x", True),
        (SITE, "http://127.0.0.1:6379/", "http://127.0.0.1:6379/", True),
        (FOREIGN, "c", "https://bucket.s3.example/a/c", True),
        (FOREIGN, "../c#z", "https://bucket.s3.example/c", True),
        (FOREIGN, "/c", "https://bucket.s3.example/c", True),
        (FOREIGN, "///c", "https://bucket.s3.example/c", True),
        (FOREIGN, "//other.example/c", "https://other.example/c", True),
        (FOREIGN, "https://[::1]/c", "https://[::1]/c", True),
        (FOREIGN, "https://other.example/a%2fb/../c?x=%3d+", "https://other.example/a%2fb/../c?x=%3d+", True),
        (FOREIGN, "https://bucket.example.net/c", "https://bucket.example.net/c", False),
        (FOREIGN, f"{INTERNAL}/c", f"{INTERNAL}/c", False),
        (LISTED, "https://other.example/c", "https://other.example/c", True),
        (PLAIN, "https://other.example/c", "https://other.example/c", True),
        (PLAIN, "http://other.example/c", "http://other.example/c", True),
    ],
)
def test_a_redirect_is_judged_like_a_first_url(base: Target, location: str, expected: str, guarded: bool) -> None:
    """Relative ones stay where they are, absolute ones are looked at anew."""
    target = ORIGINS.follow(base, location)
    assert str(target.url) == expected
    assert target.guarded is guarded


@pytest.mark.parametrize("base", [SITE, FOREIGN, LISTED])
@pytest.mark.parametrize(
    "location",
    [
        "",
        " ",
        "/a b",
        "/a\r\nb",
        "\\\\evil.example/x",
        "/\\evil.example/x",
        "//user@evil.example/x",
        "//[::1",
        "//2130706433/",
        "ftp://evil.example/x",
        "file:///etc/passwd",
        "data:image/png,x",
        "javascript:alert(1)",
        "https://evil.example\\@cloud.example.com/",
        "https:///evil.example/",
        "/日",
    ],
)
def test_a_redirect_to_what_is_no_plain_url_is_refused(base: Target, location: str) -> None:
    """By the same rules as a first URL, and without repeating it."""
    with pytest.raises(UpstreamError) as caught:
        ORIGINS.follow(base, location)
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("location", ["http://other.example/c", "http://bucket.example.net/c", "http://10.0.0.5/c"])
@pytest.mark.parametrize("base", [FOREIGN, LISTED])
def test_a_redirect_from_https_to_http_is_refused(base: Target, location: str) -> None:
    """Listed or not: whoever sits in between could choose the picture."""
    with pytest.raises(UpstreamError, match="from https to http"):
        ORIGINS.follow(base, location)


@pytest.mark.parametrize(
    ("base", "public", "hosts"),
    [
        ("", (), ()),
        ("cloudreve:5212", (), ()),
        ("unix:///run/cloudreve.sock", (), ()),
        ("http://user:pw@cloudreve:5212", (), ()),
        ("http://cloudreve:5212/path", (), ()),
        ("http://cloudreve:5212/?x", (), ()),
        (INTERNAL, ("cloud.example.com",), ()),
        (INTERNAL, ("https://cloud.example.com/x",), ()),
        (INTERNAL, ("https://*.example.com",), ()),
        (INTERNAL, (), ("https://minio.lan",)),
        (INTERNAL, (), ("minio.lan/x",)),
        (INTERNAL, (), ("minio.lan:",)),
        (INTERNAL, (), ("*.example.com",)),
        (INTERNAL, (), (".",)),
        (INTERNAL, (), ("",)),
        (INTERNAL, (), ("..example.com",)),
        (INTERNAL, (), (".example.com:80",)),
        (INTERNAL, (), (".com.1",)),
        (INTERNAL, (), ("user@minio.lan",)),
        (INTERNAL, (), ("fd00::1",)),
    ],
)
def test_a_wrong_configuration_is_refused(base: str, public: tuple[str, ...], hosts: tuple[str, ...]) -> None:
    """An entry that could never match, or would match too much, is not passed over in silence."""
    with pytest.raises(ValueError, match=r"names|starts?|contains|has a path"):
        Origins(base, public, hosts)


def test_without_lists_everything_foreign_is_guarded() -> None:
    """The default configuration trusts the internal address alone."""
    origins = Origins("http://cloudreve:5212")
    assert origins.target("http://CLOUDREVE:5212/x").internal
    assert origins.target("http://other/x") == Target(URL("http://other/x"), internal=False, guarded=True)
