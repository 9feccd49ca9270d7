"""How many workers the pools may have, and who may ask how many they should have."""

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from agentfleet.settings.types import Seconds


class ScaleSettings(BaseSettings):
    """A part of the settings."""

    # The autoscaler
    internal_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="The key of `/internal/...`, which autoscalers and operators ask. Unset: nobody may. `dev` makes one.",
    )
    scale_min_workers: int = Field(
        default=1, ge=0, description="Workers that a pool keeps warm, whatever there is to do."
    )
    scale_max_workers: int = Field(default=10, ge=1, description="Most workers of a pool.")
    scale_headroom: float = Field(
        default=0.4, ge=0, description="The share of slots on top of what the work needs: 0.3 is calm, 0.5 bursty."
    )
    scale_drain_target: Seconds = Field(default=30.0, description="Seconds within which a backlog should have begun.")
    scale_lead: float = Field(
        default=120.0,
        ge=0,
        description="From wanting a worker to having it at work: what is announced is expected so much earlier.",
    )
    scale_pools: str | None = Field(
        default=None,
        description='What differs for single pools, as JSON: `{"batch": {"min_workers": 0, "max_workers": 50, "concurrency": 200}}`. See docs/guides/autoscaling.md.',
    )

    @model_validator(mode="after")
    def _limits(self) -> Self:
        if self.scale_min_workers > self.scale_max_workers:
            raise ValueError(
                f"AGENTFLEET_SCALE_MIN_WORKERS ({self.scale_min_workers}) must not exceed AGENTFLEET_SCALE_MAX_WORKERS ({self.scale_max_workers})"
            )
        return self
