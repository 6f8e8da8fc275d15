"""Names the route of Cloudreve that a path leads to, without what is individual in it: ids, names, passwords."""

from __future__ import annotations

_API = (
    *("site/ping", "site/captcha", "site/config/{}"),
    *("session/token", "session/token/2fa", "session/token/refresh", "session/prepare", "session/authn"),
    *("session/oauth/app/{}", "session/oauth/consent", "session/oauth/token", "session/oauth/userinfo"),
    "session/oauth/grant/{}",
    *("user", "user/reset", "user/reset/{}", "user/activate/{}", "user/avatar/{}", "user/info/{}", "user/shares/{}"),
    *("user/me", "user/capacity", "user/search", "user/authn", "user/setting", "user/setting/avatar"),
    "user/setting/2fa",
    *("file", "file/archive", "file/archive/{}/archive.zip", "file/create", "file/rename", "file/move", "file/url"),
    *("file/content", "file/content/{}/{}/{}", "file/thumb", "file/trash", "file/lock", "file/restore"),
    *("file/metadata", "file/upload", "file/upload/{}/{}", "file/pin", "file/info", "file/version/current"),
    *("file/version", "file/viewerSession", "file/source", "file/source/{}", "file/view", "file/events"),
    *("file/search", "file/wopi/{}", "file/wopi/{}/contents"),
    *("share", "share/{}", "share/info/{}", "devices/dav", "devices/dav/{}"),
    *("workflow", "workflow/progress/{}", "workflow/archive", "workflow/extract", "workflow/import"),
    *("workflow/rebuildFtsIndex", "workflow/download", "workflow/download/{}"),
    *("callback/*", "slave/*", "admin/*"),
)
"""Below /api/v4 (its router.go, 4.14.0)."""
_TABLE = (
    *(f"api/v4/{path}" for path in _API),
    *(
        "api/*",
        "dav/*",
        "f/*",
        "s/{}",
        "s/{}/{}",
        "assets/*",
        "static/*",
        "locales/*",
        "home",
        "login",
        "manifest.json",
    ),
    *("session/*", "admin/*", "settings/*", "*", ""),
)
_ANY, _REST = "{}", "*"
_END = "/"


class _Node(dict[str, "_Node"]):
    """The segments that may follow in a path; `/` marks that it may end here."""


def _tree() -> _Node:
    root = _Node()
    for pattern in _TABLE:
        node = root
        for part in pattern.split("/"):
            node = node.setdefault(part, _Node())
        node[_END] = _Node()
    return root


_ROOT = _tree()


def route_pattern(path: str) -> str:
    """Name the route, as `/api/v4/share/{}`; what is in no table ends in `*`."""
    node, named, rest = _ROOT, "", "/*"
    for part in path.removeprefix("/").split("/"):
        if _REST in node:
            rest = f"{named}/*"
        name = part if part in node and part not in (_ANY, _REST) else _ANY
        if name not in node or (name == _ANY and not part):
            return rest
        node, named = node[name], f"{named}/{name}"
    if _END in node:
        return named
    return f"{named}/*" if _REST in node else rest
