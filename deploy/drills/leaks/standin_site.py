"""The stand-in in the place of a real Cloudreve: changes are made to its library."""

from __future__ import annotations

from uuid import uuid4

from deploy.drills.leaks.site import User
from deploy.drills.leaks.truth import Share
from proxy.standin.library import PASSWORD, Account, File
from proxy.standin.standin import StandIn


class StandInSite:
    """A stand-in whose pictures are those that are uploaded."""

    def __init__(self, cloudreve: StandIn) -> None:
        self._library = cloudreve.library
        self.url = cloudreve.own_url
        self.users = {
            account.name: User(account.name, account.id, account.email, PASSWORD, cloudreve.token(account.name))
            for account in cloudreve.library.accounts
        }
        self._hints: dict[tuple[str, str], str] = {}

    async def put(self, _listen_socket: str, owner: str, path: str, body: bytes) -> None:
        """Upload a file, or a new version."""
        self._library.put(self._account(owner), path, thumbnail=body)

    async def move(self, _listen_socket: str, owner: str, old: str, folder: str) -> None:
        """Move a file or folder into another folder."""
        new = f"{folder}/{old.rpartition('/')[2]}"
        for file in self._below(owner, old):
            del self._library.files[file.owner.id, file.path]
            file.path = new + file.path.removeprefix(old)
            self._library.files[file.owner.id, file.path] = file

    async def delete(self, _listen_socket: str, owner: str, path: str) -> None:
        """Delete a file for good."""
        self._library.remove(self._library.file(path, self._account(owner)))

    async def share(self, owner: str, folder: str, password: str) -> str:
        """Share a folder; give the share's id."""
        return self._library.publish(self._account(owner), folder, password=password).id

    async def close(self, _owner: str, share: Share) -> None:
        """Delete a share."""
        del self._library.shares[share.id]

    async def hint(self, owner: str, folder: str) -> str:
        """Give the context hint of a folder."""
        return self._hints.setdefault((owner, folder), str(uuid4()))

    async def folder(self, _owner: str, _path: str) -> None:
        """Make a folder, which needs no making here."""

    def _account(self, name: str) -> Account:
        return next(account for account in self._library.accounts if account.name == name)

    def _below(self, owner: str, path: str) -> list[File]:
        files, user = self._library.files.values(), self._account(owner)
        return [file for file in files if file.owner is user and f"{file.path}/".startswith(f"{path}/")]
