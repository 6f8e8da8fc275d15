"""What the stand-in keeps: accounts, files, shares, and the entities that hold bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from proxy.standin.painting import paint

PASSWORD = "pass-word-1"  # noqa: S105 - of the invented accounts
SHARE_PASSWORD = "pw123"  # noqa: S105
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz123456789"
_ID_LETTERS = 4


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can sign in."""

    number: int
    """The first thing in the name of a fresh thumbnail of theirs."""
    id: str
    name: str
    email: str
    created: float


@dataclass(slots=True)
class Entity:
    """Bytes under an id that never changes; `alive` is false once a newer upload has replaced them."""

    id: str
    draw: Callable[[], bytes]
    preview: Callable[[], bytes] | None = None
    """Draws what `thumb=true` shows in its place, if anything does."""
    alive: bool = True

    def read(self, *, thumb: bool = False) -> bytes:
        """Give the bytes, or those of a native thumbnail."""
        return self.preview() if thumb and self.preview is not None else self.draw()


@dataclass(slots=True)
class File:
    """A file and what has become of its thumbnail."""

    owner: Account
    path: str
    original: Entity
    blob: str
    """Eight random characters of one upload, part of the first name of its thumbnail."""
    draw: Callable[[], bytes] | None
    """Makes the thumbnail's bytes; None for a file that no generator takes."""
    thumbnail: Entity | None = None
    hopeless: bool = False
    """A generator has tried and failed: from then on the answer is 40077."""
    is_unreadable: bool = False
    """Its storage does not give the original: every try to make a thumbnail fails, and none is the last."""
    gate: asyncio.Event | None = None
    """Holds back the generation of this file's thumbnail until it is set."""

    @property
    def name(self) -> str:
        """Give the last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(slots=True)
class Share:
    """A file or folder that others may see."""

    id: str
    owner: Account
    path: str
    password: str = ""
    ticket: str = ""
    """Purchase ticket that everybody but the owner has to bring."""
    members_only: bool = False
    """Anonymous visitors are turned away."""


class Library:
    """Everything that is stored; seeded with two accounts, an album and three shares of it."""

    def __init__(self, now: float, size: tuple[int, int] = (400, 300)) -> None:
        self.tell: Callable[[str, Account, str], None] = lambda _kind, _owner, _path: None
        """Hears what becomes of a file: `create`, `modify` or `delete`, its owner and its path."""
        self.moved: dict[str, str] = {}
        """Origins of the provider by the paths of files that are kept elsewhere than the rest."""
        self._size = size
        self._numbers = count(1)
        self._seeds = count(1)
        self.files: dict[tuple[str, str], File] = {}
        self.shares: dict[str, Share] = {}
        self.entities: dict[str, Entity] = {}
        self.alice = Account(1, self._new_id(), "alice", "alice@example.org", now)
        self.bob = Account(2, self._new_id(), "bob", "bob@example.org", now)
        for path in ("/album/one.png", "/album/two.png", "/album/three.png", "/日落 (1).png"):
            self.put(self.alice, path)
        self.put(self.alice, "/notes.txt", picture=False)
        self.put(self.alice, "/broken.jpg", picture=False)
        self.put(self.bob, "/bob.png")
        self.share = self.publish(self.alice, "/album")
        self.private_share = self.publish(self.alice, "/album", password=SHARE_PASSWORD)
        self.file_share = self.publish(self.alice, "/album/one.png")

    @property
    def accounts(self) -> tuple[Account, ...]:
        """List who can sign in."""
        return self.alice, self.bob

    def account(self, subject: str) -> Account | None:
        """Find an account by its id."""
        return next((account for account in self.accounts if account.id == subject), None)

    def put(self, owner: Account, path: str, *, picture: bool = True, thumbnail: bytes | None = None) -> File:
        """Upload a file, or a new version of it; `thumbnail` gives the bytes that generation will bring."""
        seed = next(self._seeds)
        width, height = self._size
        draw = (lambda: thumbnail) if thumbnail is not None else (lambda: paint(seed, width, height))
        old = self.files.get((owner.id, path))
        if old is not None:
            self._bury(old)
        original = self._entity(lambda: paint(-seed, width, height) if picture else b"no picture", draw)
        blob = self._new_id() + self._new_id()
        file = File(owner, path, original, blob, draw if picture else None, gate=old.gate if old else None)
        self.files[owner.id, path] = file
        self.tell("create" if old is None else "modify", owner, path)
        return file

    def file(self, path: str, owner: Account | None = None) -> File:
        """Find a file by its path; alice's unless said otherwise."""
        return self.files[(owner or self.alice).id, path]

    def remove(self, file: File) -> None:
        """Delete a file for good."""
        self._bury(self.files.pop((file.owner.id, file.path)))
        self.tell("delete", file.owner, file.path)

    def has_folder(self, owner: Account, path: str) -> bool:
        """Say whether a path is a folder: the root, or one with files in it."""
        prefix = path.rstrip("/") + "/"
        return path == "/" or any(user == owner.id and name.startswith(prefix) for user, name in self.files)

    def publish(self, owner: Account, path: str, *, password: str = "", ticket: str = "") -> Share:
        """Share a file or folder."""
        share = Share(self._new_id(), owner, path, password, ticket)
        self.shares[share.id] = share
        return share

    def gallery(self, pictures: int) -> tuple[Share, list[str]]:
        """Make a public album that no thumbnail exists for yet; returns its share and the pictures' File URIs."""
        folder = f"/gallery-{len(self.shares)}"
        for number in range(pictures):
            self.put(self.alice, f"{folder}/{number}.png")
        share = self.publish(self.alice, folder)
        return share, [f"cloudreve://{share.id}@share/{number}.png" for number in range(pictures)]

    def keep_thumbnail(self, file: File) -> Entity:
        """Store what a generator has drawn."""
        if file.draw is None:
            raise ValueError("nothing was drawn")
        file.thumbnail = self._entity(file.draw)
        self.tell("modify", file.owner, file.path)
        return file.thumbnail

    def repaint(self, file: File, body: bytes) -> None:
        """Change the bytes behind a thumbnail's entity, as happens on storage that others write to."""
        if file.thumbnail is None:
            raise ValueError("there is no thumbnail yet")
        file.thumbnail.draw = lambda: body

    def _entity(self, draw: Callable[[], bytes], preview: Callable[[], bytes] | None = None) -> Entity:
        entity = Entity(self._new_id(), draw, preview)
        self.entities[entity.id] = entity
        return entity

    def _bury(self, file: File) -> None:
        for entity in (file.original, file.thumbnail):
            if entity is not None:
                entity.alive = False

    def _new_id(self) -> str:
        """Make an id that no other has: numbers in order, multiplied to look like hashes."""
        number = next(self._numbers) * 7_368_787 % len(_LETTERS) ** _ID_LETTERS
        return "".join(_LETTERS[number // len(_LETTERS) ** place % len(_LETTERS)] for place in range(_ID_LETTERS))
