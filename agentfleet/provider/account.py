"""One account of the model provider, or of a cloud that serves its models.

Secrets stay in ``SecretStr``, and no error repeats the value that it is about.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

FIELD = "AGENTFLEET_ACCOUNTS"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,59}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Platform(StrEnum):
    """Who serves the models."""

    ANTHROPIC = "anthropic"
    BEDROCK = "bedrock"
    """Amazon Bedrock, bedrock-runtime: the model's name is in the path, answers are AWS event streams."""
    MANTLE = "bedrock-mantle"
    """Amazon Bedrock, the endpoint that speaks the Messages API."""
    VERTEX = "vertex"
    FOUNDRY = "foundry"


NEEDS: Mapping[Platform, tuple[str, ...]] = {
    Platform.ANTHROPIC: (),
    Platform.BEDROCK: ("region",),
    Platform.MANTLE: ("region",),
    Platform.VERTEX: ("region", "project"),
    Platform.FOUNDRY: ("resource",),
}
"""Where its models are."""

NEEDS_KEY = frozenset({Platform.ANTHROPIC, Platform.FOUNDRY})
"""The clouds' own credentials, as their SDKs find them, serve the others."""


class Account(BaseModel):
    """One account. What a platform does not know may not be given, what it needs must be."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Name
    platform: Platform = Platform.ANTHROPIC
    organization: Name = ""
    """Whose limits hold: accounts of one organization share a bucket. The account's name unless given."""
    api_key: SecretStr | None = None
    api_key_env: Text | None = None
    """The environment variable that holds the key, in place of ``api_key``."""
    base_url: Text | None = None
    region: Text | None = None
    project: Text | None = None
    resource: Text | None = None
    weight: Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)] = 1.0
    """Its share of the runs, relative to the other accounts' weights."""
    models: Mapping[Text, Text] | None = None
    """Our model id to the platform's. Given, the account serves no other model."""

    @model_validator(mode="before")
    @classmethod
    def _own_organization(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        given = cast("dict[str, object]", values)
        return {"organization": given.get("name"), **given}

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://none")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http or https URL")
        return value

    @field_validator("api_key")
    @classmethod
    def _fits_header(cls, value: SecretStr | None) -> SecretStr | None:
        key = "none" if value is None else value.get_secret_value()
        if not (key and key.isascii() and key.isprintable() and " " not in key):
            raise ValueError("is empty or holds characters that no HTTP header can carry")
        return value

    @model_validator(mode="after")
    def _fits_platform(self) -> Self:
        needed = NEEDS[self.platform]
        for field in ("region", "project", "resource"):
            given = getattr(self, field) is not None
            if given and field not in needed:
                raise ValueError(f"{field} means nothing to the platform {self.platform.value!r}")
            if not given and field in needed and not (field == "resource" and self.base_url):
                raise ValueError(f"{field} is missing: the platform {self.platform.value!r} needs it")
        if self.resource and self.base_url:
            raise ValueError("give resource or base_url, not both")
        if self.api_key is None and self.platform in NEEDS_KEY:
            raise ValueError(f"api_key is missing: the platform {self.platform.value!r} needs it, or api_key_env")
        return self

    def serves(self, model: str) -> bool:
        """Whether it may be asked for ``model``."""
        return self.models is None or model in self.models

    def model_id(self, model: str) -> str:
        """What the platform calls ``model``."""
        return model if self.models is None else self.models[model]

    @property
    def masked_key(self) -> str:
        """The key for human eyes: whether there is one, and its last four characters if it is long."""
        key = "" if self.api_key is None else self.api_key.get_secret_value()
        return f"***{key[-4:]}" if len(key) >= 20 else "***" if key else "-"
