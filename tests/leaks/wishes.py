"""Wishes that Hypothesis makes up; they become requests when tokens and shares are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from tests.leaks.play import Play
from tests.leaks.roster import NAMES
from tests.leaks.scene import PATHS, SHARE_PASSWORDS, TICKETS
from tests.leaks.visitors import API, INFO, THUMB, Ask

HINTS = ("11111111-2222-4333-8444-555555555555", "66666666-7777-4888-9999-aaaaaaaaaaaa")
SITES = ("", "same-origin", "same-site", "cross-site", "none")
_MY = ("cloudreve://my{path}", "cloudreve://{alice}@my{path}", "cloudreve://{bob}@my{path}")
_SPELLINGS = ("", "", "", "scheme", "slashes", "dots", "escape", "fragment", "query", "climb")


@dataclass(frozen=True)
class Site:
    """A File URI in the making."""

    share: int | None
    own: str
    path: str
    password: str
    spelling: str

    def uri(self, play: Play) -> str:
        """Write it."""
        library = play.scene.cloudreve.library
        if self.share is None:
            return _spelt(self.own.format(path=self.path, alice=library.alice.id, bob=library.bob.id), self.spelling)
        share = play.scene.shares[self.share % len(play.scene.shares)].id
        name = self.path.rpartition("/")[2].replace("a.png", "c.png")  # which is shared
        return _spelt(f"cloudreve://{share}{self.password and f':{self.password}'}@share/{name}", self.spelling)


@dataclass(frozen=True)
class Wish:
    """A request in the making; numbers choose among what there is, whatever that is."""

    place: Site
    credential: str
    """A name, a session, or neither."""
    age: int = 0
    """How many tokens or cookies ago."""
    ticket: str = ""
    hint: str = ""
    etag: int = 0
    site: str = ""
    method: str = "GET"
    route: str = THUMB
    accept: str = ""
    size: str = ""

    def ask(self, play: Play, place: Site | None = None) -> Ask:
        """Make the request."""
        ask = Ask((place or self.place).uri(play), ticket=self.ticket, hint=self.hint, site=self.site)
        ask = replace(ask, route=self.route, accept=self.accept, size="" if self.route == API else self.size)
        if self.route != THUMB:
            pass
        elif self.method != "GET" or self.etag:
            ask = replace(ask, method=self.method, etag=play.etag(self.etag))
        if self.credential in NAMES:
            tokens = play.tokens[self.credential]
            return replace(ask, token=tokens[-1 - self.age % len(tokens)])
        if self.credential == "session" and play.sessions:
            session = play.sessions[-1 - self.etag % len(play.sessions)]
            return replace(ask, session=session, cookie=session.cookies[-1 - self.age % len(session.cookies)])
        return ask


places = st.builds(
    Site,
    share=st.one_of(st.none(), st.integers(0, 4)),
    own=st.sampled_from(_MY),
    path=st.sampled_from(PATHS),
    password=st.sampled_from(("", *SHARE_PASSWORDS, "wrong-4715")),
    spelling=st.sampled_from(_SPELLINGS),
)
plain_places = st.builds(
    Site,
    share=st.sampled_from((None, None, 0)),
    own=st.just(_MY[0]),
    path=st.sampled_from(PATHS),
    password=st.just(""),
    spelling=st.just(""),
)
"""Where most have something to see."""
wishes = st.builds(
    Wish,
    place=places | plain_places,
    credential=st.sampled_from(("", "session", "session", *NAMES)),
    age=st.sampled_from((0, 0, 0, 1, 2)),
    ticket=st.sampled_from(("", "", *TICKETS)),
    hint=st.sampled_from(("", "", *HINTS)),
    etag=st.sampled_from((0, 0, 0, 1, 2, 3, 4)),
    site=st.sampled_from(("", *SITES)),
    method=st.sampled_from(("GET", "GET", "GET", "HEAD")),
    route=st.sampled_from((THUMB, THUMB, THUMB, API, API, INFO)),
    accept=st.sampled_from(("", "", "image/webp", "image/avif,image/webp,*/*;q=0.8")),
    size=st.sampled_from(("", "", "", "&w=100", "&w=100&h=100&fit=cover")),
)


def _spelt(uri: str, how: str) -> str:
    """Write it another way; `climb` leads out of what is published."""
    folder, _, name = uri.rpartition("/")
    ways = {
        "": uri,
        "scheme": uri.replace("cloudreve", "CloudReve", 1),
        "slashes": f"{folder}//{name}",
        "dots": f"{folder}/./zzz/../{name}",
        "escape": uri.replace(".png", "%2Epng"),
        "fragment": f"{uri}#/pub/a.png",
        "query": f"{uri}?x=1",
        "climb": uri.replace("my/secret/", "my/pub/..%2fsecret/"),
    }
    return ways[how]
