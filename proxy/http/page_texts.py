"""The texts of pages for people, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from proxy.domain.errors import ProxyError
from proxy.domain.response_fields import phrase


class Language(StrEnum):
    """The languages that pages are in; the value is that of `lang`."""

    ENGLISH = "en"
    CHINESE = "zh-CN"


class WayOn(StrEnum):
    """Where a person may go on from a page."""

    SIGN_IN = "sign_in"
    AGAIN = "again"
    HOME = "home"


@dataclass(frozen=True, slots=True)
class Text:
    """A heading and what it means."""

    heading: str
    body: str


_AWAY = frozenset({"unreachable", "too_slow", "busy", "storage_busy", "session_unknown", "account_failed"})
_GONE = frozenset({"no_such_route", "refused_not_found", "expired", "bad_seal"})
_UNKNOWN_VISITOR = frozenset({"not_signed_in", "invalid_token", "refused_unauthenticated"})
_SIGN_IN = frozenset({"sign_in_failed", "code_refused"})
_FORBIDDEN = frozenset({"refused_forbidden", "refused_payment_required", "cross_site", "not_embeddable"})
_GENERATING = frozenset({"generating", "not_made", "not_stored"})

_TEXTS: tuple[tuple[frozenset[str], str, Text], ...] = (
    (_AWAY, "Cloudreve does not answer at the moment", Text("Cloudreve 暂时没有响应", "请稍后再试。")),
    (_GONE, "There is nothing here", Text("这里没有内容", "文件或分享可能已被删除，或者地址不完整。")),
    (_UNKNOWN_VISITOR, "Please sign in", Text("请先登录", "只有登录的用户才能查看。")),
    (_SIGN_IN, "The sign-in did not succeed", Text("登录没有成功", "请重新登录。")),
    (_FORBIDDEN, "You may not see this", Text("没有查看权限", "分享密码可能有误，或者该内容没有对你开放。")),
    (_GENERATING, "The thumbnail is being made", Text("正在生成缩略图", "请稍后再试。")),
)
_WAYS = {
    Language.ENGLISH: {WayOn.SIGN_IN: "Sign in", WayOn.AGAIN: "Try again", WayOn.HOME: "Go to the home page"},
    Language.CHINESE: {WayOn.SIGN_IN: "登录", WayOn.AGAIN: "重试", WayOn.HOME: "返回首页"},
}
_REQUEST = {Language.ENGLISH: "Request", Language.CHINESE: "请求编号"}


def language_of(accept_language: Sequence[str]) -> Language:
    """Choose what the lines of `Accept-Language` prefer (RFC 9110 §12.5.4); English where neither is named."""
    best, weight = Language.ENGLISH, 0.0
    for name, value in weights(",".join(accept_language)):
        primary = name.partition("-")[0]
        if primary in ("en", "zh") and value > weight:
            best, weight = (Language.CHINESE if primary == "zh" else Language.ENGLISH), value
    return best


def text_of(error: ProxyError, language: Language) -> Text:
    """Give the text for an error; what only programs meet has the status' own phrase for a heading."""
    detail = error.detail or error.title
    for categories, heading, chinese in _TEXTS:
        if error.category in categories:
            return chinese if language is Language.CHINESE else Text(heading, detail)
    heading = f"{int(error.status)} {phrase(error.status)}"
    return Text(heading, "请求没有成功。" if language is Language.CHINESE else detail)


def way_on(error: ProxyError) -> WayOn | None:
    """Give where to go on from an error that names no other way."""
    if error.category in _AWAY | _GENERATING:
        return WayOn.AGAIN
    return WayOn.HOME if error.category in _GONE | _FORBIDDEN else None


def way_text(way: WayOn, language: Language) -> str:
    """Give the text of a link."""
    return _WAYS[language][way]


def request_text(request_id: str, language: Language) -> str:
    """Name the request, to be found in the log."""
    return f"{_REQUEST[language]} {request_id}"


def weights(field: str) -> Iterator[tuple[str, float]]:
    """Read the items of an `Accept` or `Accept-Language` field with their weights (RFC 9110 §12.4.2)."""
    for item in field.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        try:
            yield name, float(quality)
        except ValueError:
            yield name, 0.0
