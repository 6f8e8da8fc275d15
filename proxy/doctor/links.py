"""Finds the picture that somebody means who gives the link of a page in place of a File URI."""

from __future__ import annotations

from urllib.parse import quote, unquote

from yarl import URL

from proxy.doctor.cloudreve_api import CloudreveApi, Folder, Share
from proxy.domain.errors import BadRequest

PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".heic", ".bmp", ".tif", ".tiff")
_ACCEPTED = "accepted is a File URI, cloudreve://..., or the link of a share, https://.../s/ID"


async def uri_of(text: str, api: CloudreveApi) -> str:
    """Give the File URI of a picture: of what the text names, or of the first picture of a share that it links to."""
    if not text.lower().startswith(("http://", "https://")):
        return text
    path, query = _parts(text)
    if path[:1] == ["home"] and query.startswith("cloudreve://"):  # where Cloudreve's page leads from a share's link
        return await _first(query, api) if _is_folder(query) else query
    if path[:1] != ["s"] or len(path) not in (2, 3):
        raise BadRequest(f"This link leads to no share; {_ACCEPTED}.")
    userinfo = ":".join(quote(unquote(part), safe="") for part in path[1:])
    answer = await api.share(unquote(path[1]))
    share = answer.read(Share) if not answer.code else Share()
    if answer.code or share.source_type:
        return await _first(f"cloudreve://{userinfo}@share", api)
    return f"cloudreve://{userinfo}@share/{quote(share.name, safe='')}"


async def _first(folder: str, api: CloudreveApi) -> str:
    """Give the first picture in a folder; the folder itself where it cannot be opened, for Cloudreve to say why."""
    answer = await api.folder(folder)
    if answer.code:
        return folder
    names = [file.name for file in answer.read(Folder).files if not file.type]
    name = next((name for name in names if name.lower().endswith(PICTURES)), None)
    if name is None:
        raise BadRequest(
            "There is no picture at the top of this share; name one by its File URI, cloudreve://ID@share/..."
        )
    return f"{folder.rstrip('/')}/{quote(name, safe='')}"


def _parts(text: str) -> tuple[list[str], str]:
    try:
        url = URL(text)
    except ValueError:
        raise BadRequest(f"This is no link; {_ACCEPTED}.") from None
    return [part for part in url.raw_path.split("/") if part], url.query.get("path", "")


def _is_folder(uri: str) -> bool:
    return not uri.lower().endswith(PICTURES)
