"""Changes by owners, administrators and operators while visitors look on."""

from __future__ import annotations

from typing import Literal, TypeAlias, assert_never, get_args

from proxy.standin.library import Account, Share
from tests.leaks.play import NO_S, Play
from tests.leaks.scene import SHARE_PASSWORDS, TICKETS, Replica
from tests.leaks.sessions import ask_whose, disown, end
from tests.leaks.visitors import OWN, Ask, Session, Token

FileChange: TypeAlias = Literal["put", "remove", "repaint"]
ShareChange: TypeAlias = Literal["close", "open", "password", "no password", "ticket", "members"]
SiteChange: TypeAlias = Literal["key", "url life", "no expiry"]
Dealing: TypeAlias = Literal["disown", "ask", "end"]
Operation: TypeAlias = Literal["flush", "kill", "start", "exchange"]

FILE_CHANGES: tuple[FileChange, ...] = get_args(FileChange)
SHARE_CHANGES: tuple[ShareChange, ...] = get_args(ShareChange)
SITE_CHANGES: tuple[SiteChange, ...] = get_args(SiteChange)
DEALINGS: tuple[Dealing, ...] = get_args(Dealing)
OPERATIONS: tuple[Operation, ...] = get_args(Operation)

LATER_S = 3625.0
"""After which no grant of before counts."""
_URL_LIVES_S = (3600.0, 100.0, 15.0, 5.0)


def change_file(play: Play, owner: Account, path: str, what: FileChange) -> None:
    """Upload a file or a new version of it, delete it, or change what storage holds for it."""
    scene = play.scene
    file = scene.cloudreve.library.files.get((owner.id, path))
    match what:
        case "put":
            scene.cards.put(owner, path)
        case "remove":
            if file is not None:
                scene.cloudreve.library.remove(file)
        case "repaint":
            if file is not None and file.thumbnail is not None and scene.cloudreve.foreign:
                scene.cards.repaint(file, scene.now)
                scene.hours.pass_by(LATER_S)  # until the next grant nobody has to notice
        case _:
            assert_never(what)


async def deny(play: Play, owner: Account, token: Token, path: str) -> None:
    """Delete what its owner has seen, tell them so, and let Cloudreve go away: what they saw is no bridge."""
    ask = Ask(f"cloudreve://my{path}", token=token)
    for replica in play.scene.replicas:
        await play.grow_used(ask, replica)
    play.scene.hours.pass_by(LATER_S)
    change_file(play, owner, path, "remove")
    for replica in play.scene.replicas:
        await play.look([ask], replica)
    await operate(play, play.scene.replicas[0], "flush")  # Redis has a time of its own, and may forget
    await play.endure([ask], play.scene.replicas[1], NO_S + 1.0)
    change_file(play, owner, path, "put")


def change_share(play: Play, share: Share, what: ShareChange) -> None:
    """Close a share, open it again, or let in others than before."""
    shares = play.scene.cloudreve.library.shares
    match what:
        case "close":
            shares.pop(share.id, None)
        case "open":
            shares[share.id] = share
        case "password":
            share.password = SHARE_PASSWORDS[share.password == SHARE_PASSWORDS[0]]
        case "no password":
            share.password = ""
        case "ticket":
            share.ticket = TICKETS[share.ticket == TICKETS[0]]
        case "members":
            share.members_only = not share.members_only
        case _:
            assert_never(what)


async def prime(play: Play, share: Share, hint: str) -> None:
    """Let somebody enter a share at Cloudreve itself, with a hint that opens it from then on, and others try it."""
    play.scene.witness.use(f"cloudreve://{share.id}:{share.password}@share/c.png", hint, share.ticket)
    for uri in (f"cloudreve://{share.id}@share/c.png", f"cloudreve://{share.id}:wrong-4715@share/c.png"):
        for replica in play.scene.replicas:
            await play.look([Ask(uri, hint=hint)], replica)


def change_site(play: Play, what: SiteChange) -> None:
    """Change how Cloudreve is; another key only where no gateway was told the one before."""
    scene, site = play.scene, play.scene.cloudreve
    match what:
        case "key":
            if not scene.terms.checks_here:
                play.change_key()
        case "url life":
            site.url_life_s = _URL_LIVES_S[(_URL_LIVES_S.index(site.url_life_s) + 1) % len(_URL_LIVES_S)]
        case "no expiry":
            site.null_expires = not site.null_expires
        case _:
            assert_never(what)


async def deal_with(play: Play, session: Session, cookie: int, replica: Replica, site: str, what: Dealing) -> None:
    """Have Cloudreve end a session, ask whose it is, or sign out, with one of its cookies."""
    match what:
        case "disown":
            disown(play, session)
        case "ask":
            await ask_whose(play, session, session.cookies[cookie], replica, site)
        case "end":
            for each in play.scene.replicas:
                await play.grow_used(Ask(OWN, session=session, cookie=session.cookies[cookie]), each)
            await end(play, session, session.cookies[cookie], replica, site)
        case _:
            assert_never(what)


async def operate(play: Play, replica: Replica, what: Operation) -> None:
    """Empty Redis, kill it, start it again, or exchange a replica for another."""
    match what:
        case "flush":
            play.scene.flush_redis()
        case "kill":
            play.scene.kill_redis()
        case "start":
            play.scene.start_redis()
        case "exchange":
            await replica.exchange()
        case _:
            assert_never(what)
    if what in ("flush", "kill"):
        play.lose_notes()
