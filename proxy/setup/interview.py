"""Asks for what a configuration needs, and tries each answer before the next question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from proxy.doctor.finding import Finding, has_problems
from proxy.setup.answers import Answers, Published
from proxy.setup.trials import try_cloudreve, try_disk, try_public_origin, try_publish, try_redis

CLOUDREVE_URL = "http://127.0.0.1:5212"


class Asker(Protocol):
    """Somebody who can be asked, or nobody, whose answers are the defaults."""

    is_there: bool

    def text(self, question: str, default: str, *, hidden: bool = False) -> str:
        """Give a line; empty where there is nothing to say."""

    def yes(self, question: str, default: bool) -> bool:
        """Give a yes or a no."""


class Unanswered(Exception):
    """An answer cannot be used, and nobody is there to give another."""


@dataclass(frozen=True, slots=True)
class Flags:
    """The answers of the command line; None where it says nothing."""

    cloudreve_url: str | None = None
    public_origin: str | None = None
    whole_site: bool | None = None
    redis_url: str | None = field(default=None, repr=False)
    disk: Path | None = None
    publish: Published | None = None


class Interview:
    """One conversation."""

    def __init__(self, flags: Flags, asker: Asker, show: Callable[[Sequence[Finding]], None]) -> None:
        self._flags = flags
        self._asker = asker
        self._show = show

    def answers(self) -> Answers:
        """Ask everything; raise Unanswered where an answer cannot be used and nobody can be asked."""
        flags = self._flags
        url = self._tried(
            flags.cloudreve_url,
            "Where does the gateway reach Cloudreve?",
            CLOUDREVE_URL,
            lambda text: asyncio.run(try_cloudreve(text.rstrip("/"))),
        ).rstrip("/")
        public = self._tried(
            flags.public_origin,
            "Which address do visitors use, such as https://cloud.example.com? (Empty: the same)",
            "",
            lambda text: try_public_origin(text.rstrip("/")),
        ).rstrip("/")
        whole = flags.whole_site
        if whole is None:
            whole = self._asker.yes(
                "Is the gateway to stand in front of the whole site, and not for thumbnails alone?", False
            )
        redis_url = self._redis()
        return Answers(url, public, whole, redis_url, None if redis_url else self._disk(), self._publish(url))

    def _redis(self) -> str:
        return self._tried(
            self._flags.redis_url,
            "A Redis that several machines share, such as redis://127.0.0.1:6379? (Empty: none)",
            "",
            lambda text: asyncio.run(try_redis(text)),
            hidden=True,
        )

    def _disk(self) -> Path | None:
        path = self._tried(
            str(self._flags.disk) if self._flags.disk else None,
            "A directory for pictures that outlive a restart? (Empty: where the service manager or deploy/run says)",
            "",
            try_disk,
        )
        return Path(path) if path else None

    def _publish(self, url: str) -> tuple[Published, ...]:
        found: list[Published] = []
        if self._flags.publish is not None:
            self._accept(asyncio.run(try_publish(0, self._flags.publish, url)), is_given=True)
            found.append(self._flags.publish)
        while prefix := self._asker.text(
            "A folder that everybody may see, such as cloudreve://my/public? (Empty: no more)", ""
        ):
            email = self._asker.text("The e-mail address of its account? (Empty: give a refresh token)", "")
            secret = self._asker.text("Its password?" if email else "Its refresh token?", "", hidden=True)
            published = Published(prefix, email, secret)
            if self._accept(asyncio.run(try_publish(len(found), published, url))):
                found.append(published)
        return tuple(found)

    def _tried(
        self,
        given: str | None,
        question: str,
        default: str,
        trial: Callable[[str], list[Finding]],
        *,
        hidden: bool = False,
    ) -> str:
        """Ask until an answer is accepted."""
        text = given
        while True:
            answer = self._asker.text(question, default, hidden=hidden) if text is None else text
            if self._accept(trial(answer), is_given=text is not None):
                return answer
            text = None

    def _accept(self, findings: Sequence[Finding], *, is_given: bool = False) -> bool:
        """Show what was found; a problem is taken only by somebody who insists."""
        self._show(findings)
        if not has_problems(findings):
            return True
        if not self._asker.is_there:
            raise Unanswered
        return not is_given and self._asker.yes("Take it all the same?", False)
