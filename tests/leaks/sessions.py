"""Acts of visitors with sessions: sign in, one way or the other, ask whose they are, sign out."""

from __future__ import annotations

from dataclasses import replace

from proxy.standin.library import Account
from tests.harness.browser import COOKIE, Browser
from tests.leaks.play import Play, session_cookie
from tests.leaks.scene import ASIDE, HERE, Replica
from tests.leaks.verdict import check_no_picture
from tests.leaks.visitors import ALIVE_S, API, BELIEF_S, OWN, SCOPES, Ask, Session, Token, written
from tests.leaks.witness import SLACK_S, Who

OUR_PAGES = ("", "same-origin", "none")
"""`Sec-Fetch-Site` of pages that may begin and end sessions."""


async def begin(play: Play, token: Token, replica: Replica, site: str) -> None:
    fields = [("Authorization", f"Bearer {token.text}"), ("Content-Length", "0"), *_from(site)]
    [reply] = await replica.say([written("POST", "/session", iter(fields))], [False], ASIDE)
    who = token.whose(play.scene.now, checks_here=play.scene.terms.checks_here)
    cookie = session_cookie(reply)
    if reply.status != 200:
        assert not cookie
        check_no_picture(reply)
        return
    assert who is not None
    assert site in OUR_PAGES, "another site has signed somebody in"
    assert f'"subject":"{who.subject}"'.encode() in reply.body
    ends = min(token.ends, token.voided + BELIEF_S) if token.voided is not None else token.ends
    play.sessions.append(Session(who, [cookie], ends, is_void=token.voided is not None))


async def agree(play: Play, account: Account, replica: Replica) -> None:
    """Sign in by way of Cloudreve's consent page."""
    site, browser = play.scene.cloudreve, Browser(replica.gateway)
    landed = await browser.agree(site.own_url, site.issue(account, "access", 60.0))
    if landed.status == 303:
        who = Who(account.id, site.client.id, SCOPES)
        session = Session(who, [browser.cookies[COOKIE]], play.scene.now + site.refresh_life_s)
        session.root = play.scene.cloudreve.roots[-1]
        play.sessions.append(session)


async def come_and_go(play: Play, token: Token | None, account: Account, replica: Replica) -> None:
    """Sign in with a token or at Cloudreve, look around everywhere, sign out, and try again with the old cookie."""
    known = len(play.sessions)
    await (begin(play, token, replica, "") if token is not None else agree(play, account, replica))
    for session in play.sessions[known:]:
        ask = Ask(OWN, session=session, cookie=session.cookies[-1])
        for each in play.scene.replicas:
            await play.grow_used(ask, each)
            for astray in (replace(ask, site="cross-site"), replace(ask, route=API)):
                await play.look([astray], each)
        await end(play, session, ask.cookie, replica, "same-origin")
        for seconds in (0.0, ALIVE_S + SLACK_S + 1.0):
            play.scene.hours.pass_by(seconds)
            for each in play.scene.replicas:
                await play.grow_used(ask, each)


async def end(play: Play, session: Session, cookie: str, replica: Replica, site: str) -> None:
    """Sign out, or let a page of another site try to."""
    fields = [("Cookie", f"{COOKIE}={cookie}"), *_from(site)]
    [reply] = await replica.say([written("DELETE", "/session", iter(fields))], [False], ASIDE)
    if site not in OUR_PAGES:
        assert reply.status == 403
    elif reply.status == 204 and session.ended is None and play.scene.now < session.ends:
        session.ended, session.ended_at = play.scene.now, (replica, replica.generation)
        session.is_noted = True


async def ask_whose(play: Play, session: Session, cookie: str, replica: Replica, site: str) -> None:
    heard, fields = replica.hears_redis, [("Cookie", f"{COOKIE}={cookie}"), *_from(site)]
    [reply] = await replica.say([written("GET", "/session", iter(fields))], [False], ASIDE)
    who = session.whose(play.scene.now, replica, hears=heard and replica.hears_redis)
    if reply.status == 200:
        assert site != "cross-site", "another site's page learns who its visitor is"
        assert who is not None, "a session that is over"
        assert f'"subject":"{who.subject}"'.encode() in reply.body
        play.keep_cookie(session, reply)


def disown(play: Play, session: Session) -> None:
    """Let Cloudreve end the sign-in behind a session; an access token lives on."""
    site = play.scene.cloudreve
    if session.root:
        site.revoked.add(session.root)
        session.ends = min(session.ends, play.scene.now + site.access_life_s)


def _from(site: str) -> list[tuple[str, str]]:
    """Give the fields by which a browser tells whose page asks."""
    if not site:
        return []
    return [("Sec-Fetch-Site", site), ("Origin", HERE if site == "same-origin" else "https://evil.example")]
