"""Everything about a simulator that can be chosen before it starts."""

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """Per-minute limits of one model group. The defaults are far above what one machine can ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int = Field(default=600_000, ge=1)
    input_tokens_per_minute: int = Field(default=1_000_000_000, ge=1)
    output_tokens_per_minute: int = Field(default=500_000_000, ge=1)


class SimulatorConfig(BaseModel):
    """Settings of one simulator process; immutable. The same seed gives the same answers after a restart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: str = "agentfleet"
    first_token_ms: float = Field(default=0, ge=0, description="Wait before the first token of an answer.")
    token_ms: float = Field(default=0, ge=0, description="Wait per output token after the first.")
    parallel_tools: int = Field(default=3, ge=1, description="Tools the default brain calls in its first turn.")
    limits: Limits = Limits()
    limits_by_group: dict[str, Limits] = Field(default_factory=dict, description="Model group -> its own limits.")
    burst_seconds: float = Field(default=60, gt=0, description="Seconds of refill a full bucket holds.")
    check_signatures: bool = True
    cache_min_tokens: int = Field(default=1024, ge=0, description="A shorter prefix is never cached.")
    max_body_bytes: int = Field(default=32 * 1024 * 1024, ge=1)
    log_capacity: int = Field(default=20_000, ge=1)
    stall_seconds: float = Field(default=3600, gt=0, description="A stalled call gives up after this.")
