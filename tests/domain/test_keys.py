"""Keys: equal things share one, different things never do, and none shows what it was made from."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.file_uri import FileUri
from proxy.domain.identity import ANONYMOUS, Identity, IdentityKind
from proxy.domain.keys import (
    PictureName,
    etag,
    fields_digest,
    grant_key,
    picture_key,
    picture_of,
    site_digest,
    token_digest,
)
from proxy.domain.request_fields import TICKET

SITE = "https://cloud.example.com"
SIGN = "LbPjHdVtXcVUBCsHxfLzDqVlOJiEw6iYyvAG6SLgKqE=:1795000000"
OTHER_SIGN = "vnCbVwBUSHhrGw6jmJZ-dBzOB_NLVv4mXNKyoOTOnmk=:1795003600"
URI = FileUri("cloudreve://AEUa:pw123@share/one.jpg", "share")
USER = Identity(IdentityKind.USER, "ABCD", "client", ("Files.Read", "openid"), "ticket")

anything = st.characters(exclude_categories=())  # surrogates included: headers may hold bytes that are no UTF-8
texts = st.text(anything, max_size=8)
identities = st.builds(
    Identity, st.sampled_from(IdentityKind), texts, texts, st.lists(texts, max_size=3).map(tuple), texts
)


def own(entity: str = "PLXh", name: str = "1_DR4AUwYX_sunset.jpg._thumb", query: str = f"sign={SIGN}") -> str:
    """Build a signed URL of Cloudreve's own."""
    return f"{SITE}/api/v4/file/content/{entity}/0/{name}?{query}"


def foreign_id(url: str) -> str:
    name = picture_of(url, internal=False)
    assert not name.own
    return name.id


@given(identities, identities, texts, texts)
def test_two_grants_share_a_key_only_when_identity_and_uri_are_equal(
    one: Identity, other: Identity, uri: str, other_uri: str
) -> None:
    """Whatever the texts hold: nobody is let in by somebody else's grant."""
    keys_equal = grant_key(one, FileUri(uri, "my")) == grant_key(other, FileUri(other_uri, "my"))
    assert keys_equal == ((one, uri) == (other, other_uri))


@pytest.mark.parametrize(
    "other",
    [
        replace(USER, kind=IdentityKind.ACCOUNT),
        replace(USER, subject="ABCDclient", client=""),
        replace(USER, subject="", client="ABCDclient"),
        replace(USER, scopes=("Files.Readopenid",)),
        replace(USER, scopes=("Files.Read",)),
        replace(USER, scopes=(), fields="Files.Read"),
        replace(USER, fields=""),
        replace(USER, fields="", scopes=(*USER.scopes, "ticket")),
        ANONYMOUS,
    ],
)
def test_moving_text_from_one_field_to_the_next_makes_another_identity(other: Identity) -> None:
    assert grant_key(other, URI) != grant_key(USER, URI)


def test_a_grant_and_a_picture_never_share_a_key() -> None:
    assert grant_key(USER, URI).startswith("g:")
    assert picture_key("ab12") == "p:ab12"


def ticket_digest(ticket: str) -> str:
    """Digest a purchase ticket as a request brings it."""
    return fields_digest(((TICKET, ticket),))


@pytest.mark.parametrize("digest", [token_digest, ticket_digest])
def test_a_secret_is_named_but_not_shown(digest: type[str]) -> None:
    """40 hex digits, the same every time, different for another secret and for another purpose."""
    assert re.fullmatch(r"[0-9a-f]{40}", digest("secret"))
    assert digest("secret") == digest("secret") != digest("secret ")
    assert token_digest("secret") != ticket_digest("secret")


def test_the_site_s_spelling_does_not_matter() -> None:
    """Replicas that write the internal address with or without a slash share their entries; other sites do not."""
    assert len(site_digest("http://cloudreve:5212")) == 8
    assert site_digest("http://cloudreve:5212") == site_digest("http://CLOUDREVE:5212/")
    assert site_digest("http://cloudreve:5212") != site_digest("http://cloudreve:5213")


@pytest.mark.parametrize(
    "again",
    [
        own(query=f"sign={OTHER_SIGN}"),
        own(name="sunset.jpg.jpg"),
        own(name="%E6%97%A5%E6%9C%AC.jpg"),
        own().replace("/0/", "/1048576/"),
        own().replace(SITE, "http://127.0.0.1:5212"),
        own(query=f"download=true&sign={SIGN}"),
    ],
)
def test_cloudreve_s_own_picture_is_named_by_its_entity_alone(again: str) -> None:
    """Signature, file name, speed and origin change with every call or site setting; the bytes do not."""
    assert picture_of(again, internal=True) == picture_of(own(), internal=True)
    assert picture_of(again, internal=True).own


def test_another_entity_and_a_native_thumbnail_are_other_pictures() -> None:
    """`thumb=true` carries the original's entity id, so the flag is part of the name (docs/cloudreve.md, resolve)."""
    names = [own(), own(entity="PLXi"), own(query=f"sign={SIGN}&thumb=true"), own(query="thumb=&sign=x")]
    ids = [picture_of(url, internal=True).id for url in names]
    assert len(set(ids)) == 3
    assert ids[0] == ids[3], "an empty flag is no flag"


@pytest.mark.parametrize(
    "url",
    [
        f"{SITE}/prefix/api/v4/file/content/PLXh/0/a.jpg?sign={SIGN}",
        f"{SITE}/api/v4/file/content/PLXh/0/a/b.jpg?sign={SIGN}",
        f"{SITE}/api/v4/file/content/PLXh/a.jpg?sign={SIGN}",
        f"{SITE}/api/v4/file/content/PL%58h/0/a.jpg?sign={SIGN}",
        f"{SITE}/api/v4/file/content/PLXh/0/a.jpg?sign={SIGN}&size=2",
        f"{SITE}/f/PLXh/a.jpg",
    ],
)
def test_anything_else_on_the_site_is_treated_as_foreign(url: str) -> None:
    """A path or parameter that the contract does not know may select other bytes."""
    assert not picture_of(url, internal=True).own


def test_another_host_cannot_name_an_own_picture() -> None:
    """The same path on a foreign origin is a foreign picture, and another one on every host."""
    ids = {picture_of(own().replace(SITE, f"https://{host}"), internal=False).id for host in ("a.example", "b.example")}
    assert len(ids | {picture_of(own(), internal=True).id}) == 3


SIGNED = {
    "s3 version 4": "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F20261123%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20261123T1{0}0000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=ab{0}",
    "s3 version 2, ks3": "Expires=179500000{0}&AWSAccessKeyId=AK&Signature=s{0}%3D",
    "ks3": "KSSAccessKeyId=AK&Expires=179500000{0}&Signature=s{0}%3D",
    "obs": "x-image-process=image%2Fresize&AccessKeyId=AK&Expires=179500000{0}&Signature=s{0}%3D",
    "oss version 1": "x-oss-process=image/resize&OSSAccessKeyId=AK&Expires=179500000{0}&Signature=s{0}"
    "&security-token=t{0}",
    "oss version 4": "x-oss-credential=AK%2F2026&x-oss-date=20261123T1{0}0000Z&x-oss-expires=3600"
    "&x-oss-process=image%2Fresize&x-oss-signature=ab{0}&x-oss-signature-version=OSS4-HMAC-SHA256",
    "cos": "imageMogr2%2Fthumbnail%2F400x300=&q-ak=AK&q-header-list=host&q-key-time=1{0}%3B2&q-sign-algorithm=sha1"
    "&q-sign-time=1{0}%3B2&q-signature=ab{0}&q-url-param-list=",
    "qiniu": "imageView2/1/w/400/h/300&e=179500000{0}&token=AK-x_1:sig{0}_-w=",
    "upyun": "_upt=0a1b2c3{0}179500000{0}",
    "another cloudreve node": "sign=LbPjHdVtXcVUBCsHxfLzDqVlOJiEw6iYyvAG6SLgKq{0}%3D%3A179500000{0}",
    "azure": "sv=2024-11-04&st=2026-11-23T0{0}%3A00Z&se=2026-11-24T0{0}%3A00Z&sr=b&sp=r&sig=s{0}%3D&skoid=o&sktid=t",
}


@pytest.mark.parametrize("query", SIGNED.values(), ids=SIGNED.keys())
def test_a_foreign_picture_signed_anew_keeps_its_name(query: str) -> None:
    """Every way in which Cloudreve's storage drivers sign leaves one name."""
    base = "https://bucket.example.com/uploads/1/a.jpg?"
    assert foreign_id(base + query.format(1)) == foreign_id(base + query.format(2))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x-oss-process=image/resize,w_400&x-oss-signature=a&x-oss-credential=b", "x-oss-process=image/resize,w_800"),
        ("imageView2/1/w/400&e=1&token=AK:s", "imageView2/1/w/800&e=1&token=AK:s"),
        ("versionId=1&X-Amz-Signature=a&X-Amz-Credential=b", "versionId=2&X-Amz-Signature=a&X-Amz-Credential=b"),
        (
            "response-content-type=image%2Fpng&AWSAccessKeyId=a&Expires=1&Signature=s",
            "response-content-type=text%2Fhtml&AWSAccessKeyId=a&Expires=1&Signature=s",
        ),
        ("Signature=1", "Signature=2"),
        ("Expires=1&Signature=1", "Expires=1&Signature=2"),
        ("e=1", "e=2"),
        ("e=1&token=1", "e=1&token=2"),
        ("e=north&token=AK:s", "e=south&token=AK:s"),
        ("token=AK:a", "token=AK:b"),
        ("sig=1&se=2", "sig=2&se=2"),
        ("sign=1", "sign=2"),
        ("sign=libra", "sign=virgo"),
        ("_upt=1", "_upt=2"),
        ("id=1", "id=2"),
        ("a=1&a=2", "a=2&a=1"),
        ("a", "a="),
        ("", "a="),
        ("a%26b=1", "a&b=1"),
    ],
)
def test_a_parameter_that_may_select_content_stays_in_the_name(one: str, other: str) -> None:
    """Generic names count as signatures only beside their scheme's tell-tale; when in doubt nothing is shared."""
    assert foreign_id(f"https://h.example/p?{one}") != foreign_id(f"https://h.example/p?{other}")


@pytest.mark.parametrize(
    "other",
    [
        "http://h.example/p",
        "https://h.example:8443/p",
        "https://i.example/p",
        "https://h.example/P",
        "https://h.example/%70",
        "https://h.example/p/",
        "https://user:pw@h.example/p",
        "https://h.example/p?",
    ],
)
def test_scheme_host_port_and_raw_path_are_part_of_a_foreign_name(other: str) -> None:
    """A server may tell any two of these apart (a bare `?` excepted)."""
    assert (foreign_id("https://h.example/p") == foreign_id(other)) == other.endswith("?")


def test_the_default_port_may_be_spelled_out() -> None:
    assert foreign_id("https://h.example/p") == foreign_id("https://H.example:443/p#fragment")


@pytest.mark.parametrize("url", ["", "https://[::1", "https://h:99999/", "//", "not a url", "https://h/\udcff?\udcff"])
def test_a_url_that_is_none_still_has_a_name(url: str) -> None:
    """The fetch says what is wrong with it; naming never fails."""
    assert isinstance(picture_of(url, internal=False), PictureName)
    assert isinstance(picture_of(url, internal=True), PictureName)


@given(st.text(anything, max_size=60), st.booleans())
def test_naming_never_fails(url: str, internal: bool) -> None:
    """The URL comes from upstream: anything may be in it."""
    assert re.fullmatch(r"[0-9a-f]{40}", picture_of(url, internal).id)


def test_an_etag_is_strong_and_follows_from_picture_and_validator() -> None:
    """Quoted, made of hex digits whatever upstream sent, and new when upstream's validator is."""
    assert re.fullmatch(r'"[0-9a-f]{40}"', etag("ab12", 'W/"\udcff\r\n'))
    assert etag("ab12", '"v1"') == etag("ab12", '"v1"') != etag("ab12", '"v2"')
    assert etag("ab12") != etag("ab13")
    assert "ab12" not in etag("ab12")
