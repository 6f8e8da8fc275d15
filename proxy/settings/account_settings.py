"""The tables with an account of Cloudreve's."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from proxy.domain.errors import BadRequest
from proxy.domain.file_uri import parse
from proxy.settings.fields import CountOrZero, Secret
from proxy.settings.files import SecretFile
from proxy.settings.section import Section

MAX_FOLDER_BYTES = 4096


def _folder(text: str) -> str:
    """Return the canonical File URI of a folder."""
    try:
        uri = parse(text, MAX_FOLDER_BYTES)
    except BadRequest as error:
        raise ValueError(error.detail) from None
    if "?" in text.partition("#")[0]:
        raise ValueError("a folder has no query")
    return uri.text


class AccountSettings(Section):
    """An account, and its secret: a password with `email`, or a refresh token alone."""

    email: Annotated[str | None, Field(description="the account's e-mail address", min_length=3)] = None
    secret: Annotated[Secret | None, Field(description="the password with `email`, or a refresh token")] = None
    secret_file: Annotated[
        SecretFile | None, Field(description="a file that holds the password with `email`, or a refresh token")
    ] = None

    @property
    def secret_text(self) -> str:
        """Give the password or the refresh token."""
        if self.secret_file is not None:
            return self.secret_file.read_text(encoding="utf-8-sig").strip()
        return self.secret.get_secret_value() if self.secret is not None else ""


class PublishSettings(AccountSettings):
    """A folder that everybody may see with the rights of an account; one entry per folder."""

    prefix: Annotated[
        str, AfterValidator(_folder), Field(description="the File URI of a folder, as cloudreve://my/public")
    ]
    warm: bool = False

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError("one of secret and secret_file is needed: a password with email, or a refresh token")
        return self


class WatchSettings(AccountSettings):
    """Which changes that are made directly at Cloudreve are heard of; shares' only with an account."""

    max_subscriptions: CountOrZero = 64

    @property
    def has_account(self) -> bool:
        """Whether there is one."""
        return self.secret is not None or self.secret_file is not None

    @model_validator(mode="after")
    def _has_one_secret(self) -> Self:
        if self.secret is not None and self.secret_file is not None:
            raise ValueError("watch.secret and watch.secret_file exclude each other")
        if self.email is not None and not self.has_account:
            raise ValueError("watch.email needs watch.secret or watch.secret_file")
        if self.has_account and not self.max_subscriptions:
            raise ValueError("this account listens to nothing while watch.max_subscriptions is 0")
        return self
