"""How long ended runs are kept, and where they go before they are deleted."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator
from pydantic_settings import BaseSettings

from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.retention import FOREVER, Keep, in_words, read_keep


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return read_keep("", value)
    except InvalidInput as error:
        raise ValueError(error.problem) from error


KeepFor = Annotated[float, BeforeValidator(_seconds), PlainSerializer(in_words)]
"""Seconds, written as a duration: ``30d``, ``36h`` or ``forever``."""


class RetentionSettings(BaseSettings):
    """A part of the settings."""

    # Keeping and archiving
    keep_runs: KeepFor = Field(
        default=FOREVER,
        description="How long a run stays after its end: `forever`, or a day or more, as `90d` or `36h`. A tenant may"
        " have its own: `agentfleet tenants set`.",
    )
    keep_failed_runs: KeepFor | None = Field(
        default=None, description="The same for runs that did not succeed. Unset: as AGENTFLEET_KEEP_RUNS."
    )
    keep_details: KeepFor = Field(
        default=FOREVER,
        description="How long the steps, attempts, messages and events of an ended run stay, if not as long as it.",
    )
    keep_request_keys: KeepFor = Field(
        default=FOREVER, description="How long request keys are honoured, if not as long as their runs are there."
    )
    archive: str | None = Field(
        default=None,
        pattern=r"^s3://[^/\s?#]+(/[^\s?#]*)?$",
        description="Where runs are stored before they or their details are deleted: s3://bucket/path. Unset: nowhere.",
    )
    archive_endpoint_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+/?$",
        description="A store that speaks S3 but is not AWS, as https://host:port.",
    )
    archive_region: str | None = Field(default=None, description="Its region. Unset: as boto3 finds it.")
    archive_path_style: bool = Field(
        default=False, description="Name the bucket in the path and not in the host name, as most other stores need it."
    )
    archive_encryption: str | None = Field(
        default=None,
        pattern=r"^(AES256|aws:kms(:\S+)?)$",
        description="Encryption by the store: `AES256`, `aws:kms`, or `aws:kms:` and a key's id. Unset: the bucket's.",
    )

    def keep(self) -> Keep:
        """How long this deployment keeps runs."""
        return Keep(self.keep_runs, self.keep_failed_runs, self.keep_details)

    @model_validator(mode="after")
    def _details_do_not_outlive_their_run(self) -> Self:
        longest = max(self.keep_runs, self.keep_failed_runs or 0)
        if FOREVER > self.keep_details > longest:
            raise ValueError(
                f"AGENTFLEET_KEEP_DETAILS ({in_words(self.keep_details)}) must not exceed AGENTFLEET_KEEP_RUNS"
                f" ({in_words(longest)}): details go with their run"
            )
        return self
