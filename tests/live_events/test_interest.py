"""Which users' files and shares are worth listening to."""

from __future__ import annotations

import math

from proxy.domain.client import BACKGROUND
from proxy.domain.credentials import Credentials
from proxy.domain.file_uri import parse
from proxy.domain.grant import Grant
from proxy.domain.identity import ANONYMOUS, Identity, IdentityKind
from proxy.domain.session import SessionRef
from proxy.domain.source import Source
from proxy.domain.tags import place_tags
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.visitor import Visitor
from proxy.grants.found_grant import Authorised, FoundGrant
from proxy.grants.validity import Decision
from proxy.live_events.interest import ACTIVE_S, SOLE_SHARE, Interest

LASTS_S = 3600.0
SESSION = SessionRef("aLiC", "s", 0.0)


class Scene:
    """Time, sign-outs, and what is asked."""

    def __init__(self, *, hears_shares: bool = True) -> None:
        self.now = 1000.0
        self.ended: set[SessionRef] = set()
        self.interest = Interest(lambda: self.now, LASTS_S, self.ended.__contains__, hears_shares=hears_shares)

    def ask(
        self, uri: str, user: str = "", client: str = "192.0.2.1", session: SessionRef | None = None, bearer: str = "a"
    ) -> None:
        """Ask for a picture, and get it."""
        identity = Identity(IdentityKind.USER, user) if user else ANONYMOUS
        visitor = Visitor(identity, Credentials(bearer if user else None), math.inf, session)
        decision = Decision(identity, Grant("", math.inf, "p", own=True))
        request = ThumbRequest(parse(uri, 4096), visitor.credentials, client=client)
        self.interest.note(Authorised(visitor, request, FoundGrant(decision, Source.UPSTREAM, collapsed=False)))

    def hottest(self, most: int = 100) -> list[str]:
        """List the places that are worth it, users by id."""
        return [root.subject or root.uri.text for root in self.interest.roots(most)]


def share(name: str) -> str:
    """Give the File URI of a picture in a share."""
    return f"cloudreve://{name}@share/one.png"


def test_users_and_shares_are_worth_it_by_how_often_they_are_asked_for() -> None:
    """Requests of one second, as of one page, count once."""
    scene = Scene()
    for second in range(10):
        scene.now += 1.0
        for _ in range(5):
            scene.ask(share("cold")) if second == 0 else None
        scene.ask(share("hot"), client=f"192.0.2.{second}")
        scene.ask("cloudreve://my/one.png", "aLiC") if second < 5 else None
    assert scene.hottest() == ["cloudreve://hot@share", "aLiC", "cloudreve://cold@share"]
    assert scene.hottest(2) == ["cloudreve://hot@share", "aLiC"]


def test_of_those_that_are_alike_none_takes_the_place_of_another() -> None:
    """To begin and end a subscription costs Cloudreve more than to keep it."""
    scene = Scene()
    for second in range(100):
        scene.now += 1.0
        scene.ask(share("first"), client="192.0.2.1") if second % 10 == 0 else None
        scene.ask(share("second"), client="192.0.2.2") if second % 10 == 5 else None
        assert scene.hottest(1) == ["cloudreve://first@share"]
    for _ in range(30):
        scene.now += 1.0
        scene.ask(share("second"), client="192.0.2.2")
    assert scene.hottest(1) == ["cloudreve://second@share"]


def test_what_was_put_off_comes_back() -> None:
    """After its time, and others have its place meanwhile."""
    scene = Scene()
    scene.ask(share("refused"))
    scene.ask(share("other"), client="192.0.2.2")
    scene.interest.put_off(scene.interest.roots(1)[0], 600.0)
    assert scene.hottest() == ["cloudreve://other@share"]
    scene.now += 600.0
    assert len(scene.hottest()) == 2


def test_without_an_account_to_listen_with_shares_take_nobodys_place() -> None:
    """However much they are asked for."""
    scene = Scene(hears_shares=False)
    for _ in range(10):
        scene.now += 1.0
        scene.ask(share("hot"))
    scene.ask("cloudreve://my/one.png", "aLiC")
    assert scene.hottest(1) == ["aLiC"]


def test_interest_of_long_ago_counts_less() -> None:
    scene = Scene()
    for _ in range(10):
        scene.now += 1.0
        scene.ask(share("then"))
    scene.now += 3000.0
    scene.ask(share("now"))
    assert scene.hottest() == ["cloudreve://now@share", "cloudreve://then@share"]


def test_answers_that_are_given_again_count() -> None:
    scene = Scene()
    scene.ask(share("often"))
    scene.ask(share("twice"))
    scene.now += 1.0
    scene.ask(share("twice"))
    for _ in range(5):
        scene.now += 1.0
        scene.interest.touch(place_tags(parse(share("often"), 4096), ""))
        scene.interest.touch(place_tags(parse(share("never"), 4096), ""))
    assert scene.hottest() == ["cloudreve://often@share", "cloudreve://twice@share"]


def test_a_user_who_is_gone_is_not_listened_to() -> None:
    """A share is, for as long as any of its grants may last."""
    scene = Scene()
    scene.ask("cloudreve://my/one.png", "aLiC")
    scene.ask(share("kY7x"))
    scene.now += ACTIVE_S
    assert scene.hottest() == ["cloudreve://kY7x@share"]
    scene.now += LASTS_S - ACTIVE_S
    assert scene.hottest() == []


def test_a_sign_out_ends_it_at_once() -> None:
    scene = Scene()
    scene.ask("cloudreve://my/one.png", "aLiC", session=SESSION)
    assert scene.hottest() == ["aLiC"]
    scene.ended.add(SESSION)
    assert scene.hottest() == []
    scene.ask("cloudreve://my/one.png", "aLiC", bearer="new")
    assert [root.bearer for root in scene.interest.roots(1)] == ["new"]


def test_only_a_users_own_files_are_listened_to_in_that_users_name() -> None:
    """Nobody else's, nor those of visitors without a name; nor what the gateway asks for by itself."""
    scene = Scene()
    scene.ask("cloudreve://BoBb@my/one.png", "aLiC")
    scene.ask("cloudreve://my/one.png")
    scene.ask("cloudreve://shared_with_me/one.png", "aLiC")
    scene.ask(share("kY7x"), client=BACKGROUND)
    assert scene.hottest() == []
    scene.ask("cloudreve://aLiC@my/one.png", "aLiC")
    assert scene.hottest() == ["aLiC"]


def test_one_client_alone_does_not_take_the_places_of_others() -> None:
    """However much it asks; what is left over it may have."""
    scene = Scene()
    for second in range(20):
        scene.now += 1.0
        for number in range(8):
            scene.ask(share(f"loud{number}"))
        scene.ask(share("quiet"), client="198.51.100.1") if second == 0 else None
    assert "cloudreve://quiet@share" in scene.hottest(8)[: 8 // SOLE_SHARE + 1]
    assert len(scene.hottest(8)) == 8


def test_the_password_that_has_opened_a_share_is_kept_from_sight() -> None:
    scene = Scene()
    scene.ask("cloudreve://kY7x:secret@share/in/one.png")
    [root] = scene.interest.roots(1)
    assert (root.uri.text, "secret" in repr(root)) == ("cloudreve://kY7x:secret@share", False)
