"""The model provider: where it is, who we are there, and how much of it is used."""

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings

from agentfleet.settings.types import Seconds, TextOrFile


class ProviderSettings(BaseSettings):
    """A part of the settings."""

    # The model provider
    provider: str = Field(
        default="anthropic", description="`anthropic`, or `package.module:factory` of a Reasoner of your own."
    )
    provider_base_url: str | None = Field(
        default=None,
        description="Where the Messages API is; unset means Anthropic's. `dev` points it at the simulator when there is no key.",
    )
    provider_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("AGENTFLEET_PROVIDER_API_KEY", "ANTHROPIC_API_KEY"),
        description="The provider's key; ANTHROPIC_API_KEY is read too.",
    )
    accounts: TextOrFile = Field(
        default=None,
        description="Several accounts or platforms: a JSON list, or `@/path/to/file.json`. In place of the key and the URL above. See docs/guides/accounts.md.",
    )
    provider_pool_size: int | None = Field(
        default=None,
        ge=1,
        description="Most connections of one worker process to the provider, all accounts together; a call takes one. Unset: as many as AGENTFLEET_WORKER_CAPACITY, if the limit of open files (ulimit -n) less 256 allows.",
    )
    provider_pool_per_host: int | None = Field(
        default=None, ge=1, description="Most of them to one host. Unset: as many as to all."
    )
    provider_keep_alive: Seconds = Field(
        default=15.0,
        description="How long an idle connection is kept: below what servers and NATs usually grant, so that none is used that is dead.",
    )
    provider_connect_timeout: Seconds = Field(
        default=5.0, description="Longest way to a connection: name resolution, TCP and TLS."
    )
    provider_first_byte_timeout: Seconds = Field(
        default=60.0, description="Longest wait for the first byte of an answer, connecting included."
    )
    provider_idle_timeout: Seconds = Field(
        default=30.0, description="Longest silence inside an answer that has begun. Pings count as sound."
    )
    reason_timeout: Seconds = Field(default=600.0, description="Longest whole model call, however steadily it drips.")

    provider_limits: str | None = Field(
        default=None,
        description='Never use more than this a minute, as JSON by model group or `organization/group`: `{"sonnet-5.5": {"requests": 1000, "input_tokens": 2000000, "output_tokens": 400000}}`. Unset: what the provider\'s answers allow.',
    )
    provider_admin_key: SecretStr | None = Field(
        default=None,
        description="An admin key of the organization: with it the dispatcher reads the limits that hold, at its start and once an hour. Unset: they are learned from answers.",
    )
    provider_burst: Seconds = Field(
        default=5.0,
        description="Seconds' worth of a limit that may be used at once: the provider may enforce it over less than its minute.",
    )
    provider_ramp: Seconds = Field(
        default=20.0,
        description="After a minute of idleness use grows from a quarter of a limit to all of it in this time; sudden growth is refused.",
    )
    provider_stagger: float = Field(
        default=10.0,
        ge=0,
        description="Longest wait of a call for the first words of another one with the same long tools and instructions: then it reads them from the provider's cache instead of writing them once more. 0: nobody waits.",
    )
    provider_overload_probe: Seconds = Field(
        default=10.0, description="How often a model is tried that was overloaded three times in a row."
    )
    provider_probe: Seconds = Field(
        default=300.0, description="How often a parked account is tried: each try may be refused again."
    )

    # Answers that are used again
    answer_cache_bytes: int = Field(
        default=67_108_864,
        ge=65_536,
        description="Most memory of Redis for answers and results that agents and tools offer to be used again.",
    )
    answer_cache_wait: Seconds = Field(
        default=60.0,
        description="Longest wait for such an answer that somebody else is just asking for; then a run asks for itself.",
    )
