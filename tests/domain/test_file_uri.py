"""The File URI: spellings that are one file for Cloudreve become one text, and nothing else does."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.domain.errors import BadRequest
from proxy.domain.file_uri import parse, root, without_password

MAX_BYTES = 4096
ALBUM = "cloudreve://my/album/one.png"
SUNSET = "cloudreve://my/%E6%97%A5%E8%90%BD%20(1).png"
PRIVATE = "cloudreve://AEUa:pw123@share/one.jpg"


def canonical(text: str) -> str:
    return parse(text, MAX_BYTES).text


@pytest.mark.parametrize(
    "text",
    [
        ALBUM,
        "CloudReve://MY/album/one.png",
        "cloudreve://my//album///one.png",
        "cloudreve://my/album/one.png/",
        "cloudreve://my/album/one.png//",
        "cloudreve://my/album/./one.png",
        "cloudreve://my/album/one.png/.",
        "cloudreve://my/album/two/../one.png",
        "cloudreve://my/../../album/one.png",
        "cloudreve://my/%2e%2e/album/one.png",
        "cloudreve://my/x/..%2Falbum/one.png",
        "cloudreve://my/%2E/album/one.png",
        "cloudreve://my/album%2fone.png",
        "cloudreve://my/alb%75m/one%2epng",
        "cloudreve://my/album/one.png#fragment",
        "cloudreve://my/album/one.png#",
        "cloudreve://my/album/one.png#a?b",
        "cloudreve://my/album/one.png?",
        "cloudreve://my/album/one.png?z=1",
        "cloudreve://my/album/one.png/?name=two&type=folder",
        "cloudreve://my/album/one.png??x=%zz&y=/../z#f",
        "cloudreve://my/album/one.png?a b&日",
    ],
)
def test_spellings_of_an_ordinary_path_become_one(text: str) -> None:
    """Each of these got the same entity from a real Cloudreve 4.14.0."""
    assert canonical(text) == ALBUM


@pytest.mark.parametrize(
    "text",
    [
        SUNSET,
        "cloudreve://my/日落 (1).png",
        "cloudreve://my/%E6%97%a5落%20%281%29.png",
        "cloudreve://my//./日落 (1).png/",
    ],
)
def test_characters_may_be_raw_or_encoded(text: str) -> None:
    """The canonical form is what encodeURIComponent makes of every segment."""
    assert canonical(text) == SUNSET


@pytest.mark.parametrize(
    "text",
    [
        PRIVATE,
        "cloudreve://AEUa:pw%3123@Share//one.jpg",
        "cloudreve://%41EUa:%70w123@share/./one.jpg#x",
    ],
)
def test_id_and_password_may_be_encoded(text: str) -> None:
    assert canonical(text) == PRIVATE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cloudreve://my", "cloudreve://my"),
        ("cloudreve://my/", "cloudreve://my"),
        ("cloudreve://my/..", "cloudreve://my"),
        ("cloudreve://AEUa:@share/x", "cloudreve://AEUa@share/x"),
        ("cloudreve://zVUL@my/x", "cloudreve://zVUL@my/x"),
        ("cloudreve://a@b@share/x", "cloudreve://a%40b@share/x"),
        ("cloudreve://a:b:c@share/x", "cloudreve://a:b%3Ac@share/x"),
        ("cloudreve://a:%2F%40%3a%3F%23@share/x", "cloudreve://a:%2F%40%3A%3F%23@share/x"),
        ("cloudreve://TRASH/x", "cloudreve://trash/x"),
        ("cloudreve://Shared_With_Me/x", "cloudreve://shared_with_me/x"),
        ("cloudreve://my/a+b", "cloudreve://my/a%2Bb"),
        ("cloudreve://my/a%2Bb", "cloudreve://my/a%2Bb"),
        ("cloudreve://my/a%20b", "cloudreve://my/a%20b"),
        ("cloudreve://my/100%25", "cloudreve://my/100%25"),
        ("cloudreve://my/%2541", "cloudreve://my/%2541"),
        ("cloudreve://my/%252e%252e/x", "cloudreve://my/%252e%252e/x"),
        ("cloudreve://my/%3Fx", "cloudreve://my/%3Fx"),
        ("cloudreve://my/%23x", "cloudreve://my/%23x"),
        ("cloudreve://my/a;b&c=d", "cloudreve://my/a%3Bb%26c%3Dd"),
        ("cloudreve://my/a\\b", "cloudreve://my/a%5Cb"),
        ("cloudreve://my/%5c..%5cb", "cloudreve://my/%5C..%5Cb"),
        ("cloudreve://my/a%00", "cloudreve://my/a%00"),
        ("cloudreve://my/%ff", "cloudreve://my/%FF"),
        ("cloudreve://my/a.png ", "cloudreve://my/a.png%20"),
        ("cloudreve://my/ /a", "cloudreve://my/%20/a"),
        ("cloudreve://my/...", "cloudreve://my/..."),
        ("cloudreve://my/..a/.b", "cloudreve://my/..a/.b"),
        ("cloudreve://my/A-_.!~*'()z", "cloudreve://my/A-_.!~*'()z"),
        ("cloudreve://my/@a:b", "cloudreve://my/%40a%3Ab"),
    ],
)
def test_odd_uris_become_what_cloudreve_reads_in_them(text: str, expected: str) -> None:
    """A plus is a plus, an escape is decoded once, `..` never leaves the root."""
    assert canonical(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cloudreve://zVUL:pw@my/x", "cloudreve://zVUL@my/x"),
        ("cloudreve://zVUL@trash/x", "cloudreve://trash/x"),
        ("cloudreve://zVUL:pw@trash/x", "cloudreve://trash/x"),
        ("cloudreve://zVUL@shared_with_me", "cloudreve://shared_with_me"),
        ("cloudreve://AEUa:pw@share?password=x", "cloudreve://AEUa:pw@share"),
    ],
)
def test_parts_that_cloudreve_ignores_are_left_out(text: str, expected: str) -> None:
    """A password counts in shares alone, an id nowhere where the files are the asking user's."""
    assert canonical(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cloudreve://my/one.png", "cloudreve://my/One.png"),
        ("cloudreve://my/\u00e9.png", "cloudreve://my/e\u0301.png"),
        ("cloudreve://my/a+b", "cloudreve://my/a b"),
        ("cloudreve://my/a", "cloudreve://my/a "),
        ("cloudreve://my/a", "cloudreve://zVUL@my/a"),
        ("cloudreve://zVUL@my/a", "cloudreve://Zvul@my/a"),
        ("cloudreve://my/a", "cloudreve://trash/a"),
        ("cloudreve://AEUa@share/a", "cloudreve://AEUa:x@share/a"),
        ("cloudreve://AEUa:x@share/a", "cloudreve://AEUa:X@share/a"),
        ("cloudreve://a:b@share/c", "cloudreve://a%3Ab@share/c"),
        ("cloudreve://my/a%2Fb", "cloudreve://my/a%252Fb"),
        ("cloudreve://my/a?b", "cloudreve://my/a%3Fb"),
    ],
)
def test_different_files_stay_different(one: str, other: str) -> None:
    """Case, blanks, Unicode forms, ids and passwords count."""
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not start with cloudreve://"),
        ("one.png", "does not start with cloudreve://"),
        (" cloudreve://my/a", "does not start with cloudreve://"),
        ("https://my/a", "does not start with cloudreve://"),
        ("cloudreve:my/a", "does not start with cloudreve://"),
        ("cloudreve:/my/a", "does not start with cloudreve://"),
        ("cloudreve%3A%2F%2Fmy%2Fa", "does not start with cloudreve://"),
        ("cloudreve:/?/my/a", "does not start with cloudreve://"),
        ("cloudreve:#//my/a", "does not start with cloudreve://"),
        ("cloudreve://", "unknown file system"),
        ("cloudreve:///my/a", "unknown file system"),
        ("cloudreve://nope/a", "unknown file system"),
        ("cloudreve://my:80/a", "unknown file system"),
        ("cloudreve://my:/a", "unknown file system"),
        ("cloudreve://my./a", "unknown file system"),
        ("cloudreve://m%79/a", "unknown file system"),
        ("cloudreve://my\\a", "unknown file system"),
        ("cloudreve://[my]/a", "unknown file system"),
        ("cloudreve://shared_w\u0130th_me/a", "unknown file system"),
        ("cloudreve://my@a/b", "unknown file system"),
        ("cloudreve://@my/a", "empty id"),
        ("cloudreve://:@my/a", "empty id"),
        ("cloudreve://:pw@share/a", "empty id"),
        ("cloudreve://share/a", "names no share"),
        ("cloudreve://AEUa:日@share/a", "raw special character"),
        ("cloudreve://AE Ua@share/a", "raw special character"),
        ("cloudreve://AE[Ua@share/a", "raw special character"),
        ("cloudreve://my/%", "broken percent escape"),
        ("cloudreve://my/%2", "broken percent escape"),
        ("cloudreve://my/%zz", "broken percent escape"),
        ("cloudreve://my/%2\u0661", "broken percent escape"),
        ("cloudreve://a%:b@share/a", "broken percent escape"),
        ("cloudreve://a:%b@share/a", "broken percent escape"),
        ("cloudreve://my/a#%", "broken percent escape"),
        ("cloudreve://my/a\nb", "control character"),
        ("cloudreve://my/a\x00", "control character"),
        ("cloudreve://my/a?\x7f", "control character"),
        ("\tcloudreve://my/a", "control character"),
        ("cloudreve://my/\ud800", "not valid Unicode"),
    ],
)
def test_a_uri_that_cloudreve_would_not_understand_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        parse(text, MAX_BYTES)


@pytest.mark.parametrize("text", ["cloudreve://my/日落", "cloudreve://my/%E6%97%A5%E8%90%BD", "cloudreve://my//日落#x"])
def test_the_bound_holds_for_decoded_bytes(text: str) -> None:
    """Two characters of three bytes each are six bytes, raw or percent-encoded; a fragment does not count."""
    assert parse(text, 21).text == "cloudreve://my/%E6%97%A5%E8%90%BD"
    with pytest.raises(BadRequest, match="20 bytes"):
        parse(text, 20)


def test_a_long_path_of_chinese_names_is_accepted() -> None:
    text = "cloudreve://my" + "/%E6%97%A5%E8%90%BD" * 274 + "/a"
    assert len(text) == 5222
    assert parse(text, MAX_BYTES).text == text


def test_a_text_that_never_fits_is_refused_unread() -> None:
    with pytest.raises(BadRequest, match="too long"):
        parse("cloudreve://my/a#" + "x" * 3 * MAX_BYTES, MAX_BYTES)


def test_the_file_system_is_known_afterwards() -> None:
    assert parse("cloudreve://AEUa@SHARE/x", MAX_BYTES).filesystem == "share"


@pytest.mark.parametrize(
    "text",
    [
        "cloudreve://AEUa:hunter2@nope/hunter2",
        "hunter2://my/a",
        "cloudreve://AEUa:hunter2%@share/hunter2%zz",
        "cloudreve://AEUa:hunter2\ud800@share/a",
        "cloudreve://AEUa:hunter2 @share/a",
        "cloudreve://:hunter2@share/a",
        "cloudreve://AEUa:hunter2\n@share/a",
        "cloudreve://AEUa:hunter2@share/" + "a" * MAX_BYTES,
    ],
)
def test_a_message_never_repeats_the_text(text: str) -> None:
    """It may hold a share's password; the cause of the error may hold it as well."""
    with pytest.raises(BadRequest) as caught:
        parse(text, MAX_BYTES)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@dataclass(frozen=True)
class File:
    """The meaning of a File URI, free of spelling."""

    filesystem: str
    owner: bytes = b""
    password: bytes = field(default=b"")
    segments: tuple[bytes, ...] = ()


names = st.one_of(
    st.text(min_size=1, max_size=6).map(lambda text: text.encode("utf-8", "ignore")),
    st.binary(min_size=1, max_size=6),
    st.text("aA.%/+ @:;&?#\\", min_size=1, max_size=4).map(str.encode),
).filter(bool)
segments = names.map(lambda name: name.replace(b"/", b"|")).filter(lambda name: name not in (b".", b".."))


@st.composite
def files(draw: st.DrawFn) -> File:
    """Draw something that a File URI can say."""
    filesystem = draw(st.sampled_from(["my", "share", "shared_with_me", "trash"]))
    owner = draw({"share": names, "my": st.just(b"") | names}.get(filesystem, st.just(b"")))
    password = draw(st.just(b"") | names) if filesystem == "share" else b""
    return File(filesystem, owner, password, tuple(draw(st.lists(segments, max_size=4))))


PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~!'()*"
RAW_IN_PATH = PLAIN + b"$&+,;=:@[]|^<> \\"


@st.composite
def escaped(draw: st.DrawFn, part: bytes, raw: bytes) -> str:
    """Draw a spelling of the bytes: those in `raw` as they are or as an escape, the others as an escape."""
    spelt = []
    for byte in part:
        forms = [f"%{byte:02x}", f"%{byte:02X}"] + [chr(byte)] * (byte in raw)
        spelt.append(draw(st.sampled_from(forms)))
    return "".join(spelt)


@st.composite
def spellings(draw: st.DrawFn, file: File) -> str:
    """Draw one of the ways to write a file's URI."""
    cased = st.sampled_from([str.lower, str.upper, str.title])
    separators = st.sampled_from(["/", "//", "/./", "/x/../", "%2f", "/%2e/", "/a%2f..%2F"])
    path = "".join(draw(separators) + draw(escaped(segment, RAW_IN_PATH)) for segment in file.segments)
    if path.startswith("%"):
        path = "/" + path
    path += draw(st.sampled_from(["", "/", "/.", "/x/.."])) if path else draw(st.sampled_from(["", "/", "/.."]))
    owner = draw(escaped(file.owner, PLAIN + b"$&+,;=@"))
    password = draw(escaped(file.password, PLAIN + b"$&+,;=@:"))
    colon = ":" if password or draw(st.booleans()) else ""
    ignored = "" if file.filesystem == "share" or not colon else draw(st.sampled_from(["", "pw"]))
    before = f"{owner}{colon}{password}{ignored}@" if owner else ""
    after = draw(st.sampled_from(["", "?", "#", "#x?y", "?#", "?z=1", "?%zz"]))
    return f"{draw(cased)('cloudreve')}://{before}{draw(cased)(file.filesystem)}{path}{after}"


def plainly(file: File) -> str:
    """Write a file's URI in the form that we expect to be canonical."""
    owner, password, *path = (quote(part, safe="!*'()") for part in (file.owner, file.password, *file.segments))
    before = f"{owner}:{password}@" if password else f"{owner}@" if owner else ""
    return f"cloudreve://{before}{file.filesystem}" + "".join(f"/{name}" for name in path)


@given(st.data(), files())
def test_every_spelling_of_a_file_becomes_its_canonical_text(data: st.DataObject, file: File) -> None:
    """Of any file, in any of the ways that are equal (docs/cloudreve.md, File URIs)."""
    assert canonical(data.draw(spellings(file))) == plainly(file)


@given(files(), files())
@example(File("share", b"a", b"b"), File("share", b"a:b"))
@example(File("my", segments=(b"a", b"b")), File("my", segments=(b"a%2Fb",)))
@example(File("my", segments=(b"a?b",)), File("my", segments=(b"a%3Fb",)))
def test_two_files_never_share_a_canonical_text(one: File, other: File) -> None:
    """Else one could be served where the other was asked for."""
    assert (canonical(plainly(one)) == canonical(plainly(other))) == (one == other)


uris = st.lists(
    st.sampled_from(
        [*"/:@?#%.;&=+ aé", "cloudreve://", "my", "share", "..", "%2f", "%2e", "%25", "%", "AEUa", "\\", "//", "\ud800"]
    ),
    max_size=12,
).map("".join)


@given(st.one_of(uris, uris.map(lambda rest: f"cloudreve://my/{rest}"), st.text(max_size=40)))
def test_the_canonical_text_is_its_own_canonical_text(text: str) -> None:
    """Parsing again changes nothing, whatever it was made from; what is left is printable ASCII without blanks."""
    try:
        uri = parse(text, MAX_BYTES)
    except BadRequest:
        return
    assert parse(uri.text, MAX_BYTES) == uri
    assert uri.text.isascii()
    assert uri.text.isprintable()
    assert " " not in uri.text


@pytest.mark.parametrize(
    ("text", "is_absolute"),
    [
        ("cloudreve://my", False),
        ("cloudreve://my/a@b.png", False),
        ("cloudreve://my/?a@b", False),
        ("cloudreve://shared_with_me/a.png", False),
        ("cloudreve://x@trash/a.png", False),
        ("cloudreve://mine@my/a.png", True),
        ("cloudreve://my@my", True),
        ("cloudreve://AEUa:pw@share/a.png", True),
    ],
)
def test_some_uris_mean_the_same_whoever_asks(text: str, is_absolute: bool) -> None:
    """A share, and files by their owner's id; anything else is the asker's own."""
    assert parse(text, MAX_BYTES).is_absolute is is_absolute


@pytest.mark.parametrize(
    ("text", "place", "bare"),
    [
        (PRIVATE, "cloudreve://AEUa@share", "cloudreve://AEUa@share/one.jpg"),
        ("cloudreve://a%3Ab:c@share", "cloudreve://a%3Ab@share", "cloudreve://a%3Ab@share"),
        ("cloudreve://AEUa@share/x:y@z", "cloudreve://AEUa@share", "cloudreve://AEUa@share/x%3Ay%40z"),
        ("cloudreve://my/a", "cloudreve://my", "cloudreve://my/a"),
    ],
)
def test_a_password_can_be_left_out(text: str, place: str, bare: str) -> None:
    uri = parse(text, MAX_BYTES)
    assert (root(uri), without_password(uri)) == (place, parse(bare, MAX_BYTES))
