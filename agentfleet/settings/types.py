"""What settings may be, beyond plain texts and numbers."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.webhooks import signing_key


def _split(value: object) -> object:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


def _url(url: SecretStr | None) -> SecretStr | None:
    if url is not None and not _names_a_host(url.get_secret_value()):
        raise ValueError("must be an https:// or http:// URL")
    return url


def _names_a_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port beyond 65535
        return False


def _key(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        try:
            signing_key(secret.get_secret_value())
        except InvalidInput as error:
            raise ValueError(error.problem) from error
    return secret


def _content(value: SecretStr | None) -> SecretStr | None:
    text = "" if value is None else value.get_secret_value().strip()
    if not text.startswith("@"):
        return value if text else None
    try:
        return SecretStr(Path(text[1:]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{text[1:]} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
        ) from None


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Comma-separated."""
WebhookUrl = Annotated[SecretStr | None, AfterValidator(_url)]
WebhookKey = Annotated[SecretStr | None, AfterValidator(_key)]
TextOrFile = Annotated[SecretStr | None, AfterValidator(_content)]
"""The text itself, or ``@`` and the path of the file that holds it."""
