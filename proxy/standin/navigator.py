"""Finds the file that a File URI means to a viewer, in the order in which Cloudreve looks and refuses."""

from __future__ import annotations

from uuid import UUID

from proxy.standin import gourl
from proxy.standin.answer import Refused
from proxy.standin.gourl import Address
from proxy.standin.library import Account, File, Library, Share

HINT_LIFE_S = 300.0


class Navigator:
    """Walks the library for one call after the other, and remembers what context hints unlock."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._hints: dict[tuple[UUID, str, str], tuple[float, bool]] = {}

    def find(self, uri: str, viewer: Account | None, ticket: str, hint: str, now: float) -> File:
        """Return the file, or raise what Cloudreve would answer; a folder is no file with a thumbnail."""
        try:
            address = gourl.read(uri)
        except gourl.NotAnAddress as error:
            raise Refused(40001, "unknown uri") from error
        match address.filesystem:
            case "my":
                return self._mine(address, viewer)
            case "share":
                return self._shared(address, viewer, ticket, hint, now)
            case "trash" | "shared_with_me":
                raise self._empty(address, viewer)
            case _:
                raise _unknown_filesystem()

    def _mine(self, address: Address, viewer: Account | None) -> File:
        if viewer is None:
            raise login_required()
        asked = viewer.id if address.user is None else address.user
        if self._library.account(asked) is None:
            raise no_such_path()
        if asked != viewer.id:
            raise Refused(403, "Permission denied")
        return self._walk(viewer, address.path)

    def _shared(self, address: Address, viewer: Account | None, ticket: str, hint: str, now: float) -> File:
        share = self._library.shares.get(address.user or "")
        if not self._restored(address, viewer, hint, now):
            allowed = False
            try:
                self._admit(share, address, viewer, ticket)
                allowed = True
            finally:
                self._remember(address, viewer, hint, now, allowed=allowed)
        if share is None:
            raise no_such_path()
        if not self._library.has_folder(share.owner, share.path):
            return self._single(share, address)
        return self._walk(share.owner, gourl.clean(share.path + address.path))

    def _admit(self, share: Share | None, address: Address, viewer: Account | None, ticket: str) -> None:
        """Let a viewer into a share, or refuse: existence, password, purchase, membership."""
        if share is None:
            raise Refused(404, "Shared file does not exist")
        if share.password and share.password != address.password:
            raise Refused(40069, "Incorrect share password")
        if viewer == share.owner:
            return
        if share.ticket and share.ticket != ticket:
            raise Refused(40083, "You need to purchased this share")
        if share.members_only and viewer is None:
            raise Refused(40088, "You don't have permission to access share links")

    def _single(self, share: Share, address: Address) -> File:
        """Find the one file of a share; its root is a folder all the same."""
        if not address.elements:
            raise no_entity()
        if address.elements != [share.path.rpartition("/")[2]]:
            raise no_such_path()
        return self._walk(share.owner, share.path)

    def _walk(self, owner: Account, path: str) -> File:
        file = self._library.files.get((owner.id, path))
        if file is not None:
            return file
        raise no_entity() if self._library.has_folder(owner, path) else no_such_path()

    def _empty(self, address: Address, viewer: Account | None) -> Refused:
        """Refuse whatever is asked of a filesystem in which nobody here keeps anything."""
        if viewer is None:
            return login_required()
        if address.elements:
            return no_such_path()
        return _unknown_filesystem() if address.filesystem == "trash" else no_entity()

    def _restored(self, address: Address, viewer: Account | None, hint: str, now: float) -> bool:
        """Say whether a hint brings back a share that this viewer has been let into before.

        Measured: neither password nor anything else is checked again, for five minutes, and all anonymous
        visitors count as one viewer. A hint first used in vain brings nothing back, even after a later success.
        """
        key = _hint_key(address, viewer, hint)
        until, allowed = self._hints.get(key, (0.0, False)) if key is not None else (0.0, False)
        return allowed and now < until

    def _remember(self, address: Address, viewer: Account | None, hint: str, now: float, *, allowed: bool) -> None:
        key = _hint_key(address, viewer, hint)
        if key is not None and now >= self._hints.get(key, (0.0, False))[0]:
            self._hints[key] = now + HINT_LIFE_S, allowed


def no_such_path() -> Refused:
    """Refuse a path that leads nowhere."""
    return Refused(40016, "Path not exist")


def no_entity() -> Refused:
    """Refuse what has no thumbnail: a folder, a replaced upload, a file that no generator could take."""
    return Refused(40077, "Entity not exist")


def login_required() -> Refused:
    """Refuse an anonymous visitor."""
    return Refused(401, "Login required")


def _unknown_filesystem() -> Refused:
    return Refused(-1, "")


def _hint_key(address: Address, viewer: Account | None, hint: str) -> tuple[UUID, str, str] | None:
    """Name the state that a hint stands for; None for what is no UUID, or the nil one."""
    try:
        number = UUID(hint)
    except ValueError:
        return None
    return (number, address.user or "", viewer.id if viewer else "") if number.int else None
