"""Everything about a simulator that can be chosen: before it starts, or with PATCH /sim/config while it runs."""

from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field


class Ramp(BaseModel):
    """How fast use may grow: per `seconds`, at most `factor` times what it was in the seconds before.

    After idleness it starts from the share `start` of the limit. The real rule is not published; this is one like it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(default=10, gt=0)
    factor: float = Field(default=1.5, gt=1)
    start: float = Field(default=0.1, gt=0, le=1)


class Limits(BaseModel):
    """Per-minute limits of one model group. The defaults are far above what one machine can ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int = Field(default=600_000, ge=1)
    input_tokens_per_minute: int = Field(default=1_000_000_000, ge=1)
    output_tokens_per_minute: int = Field(default=500_000_000, ge=1)
    cache_reads_count: bool = Field(default=False, description="Cache reads count as input, as for older models.")
    ramp: Ramp | None = Field(default=None, description="Growth limit of requests and input tokens.")


class BatchRules(BaseModel):
    """Message Batches: their limits and their pace, in seconds of the simulator's clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls_per_minute: int = Field(default=600_000, ge=1, description="Calls of all batch endpoints together.")
    queue: int = Field(default=500_000, ge=1, description="Requests of one organization that may be in process.")
    seconds: float = Field(default=60, ge=0, description="When the last request of a batch is answered.")
    cancel_seconds: float = Field(default=2, ge=0, description="How long a canceled batch still finishes requests.")


class SimulatorConfig(BaseModel):
    """Settings of one simulator process; immutable. The same seed gives the same answers after a restart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: str = "agentfleet"
    clock_speed: float = Field(default=1, ge=0, description="1 is real time, 60 an hour in a minute, 0 stands still.")
    first_token_ms: float = Field(default=0, ge=0, description="Wait before the first token of an answer.")
    token_ms: float = Field(default=0, ge=0, description="Wait per output token after the first.")
    parallel_tools: int = Field(default=3, ge=1, description="Tools the default brain calls in its first turn.")
    organization_by_key: dict[str, str] = Field(
        default_factory=dict, description="API key -> organization; other keys name it before a slash."
    )
    limits: Limits = Limits()
    limits_by_group: dict[str, Limits] = Field(
        default_factory=dict, description="Model group, or `organization/group` -> its own limits."
    )
    counts_per_minute: int = Field(default=600_000, ge=1, description="Calls of count_tokens.")
    batches: BatchRules = BatchRules()
    burst_seconds: float = Field(default=60, gt=0, description="Seconds of refill a full bucket holds.")
    check_signatures: bool = True
    cache_min_tokens: int = Field(default=1024, ge=0, description="A shorter prefix is never cached.")
    max_body_bytes: int = Field(default=32 * 1024 * 1024, ge=1)
    log_capacity: int = Field(default=20_000, ge=1)
    stall_seconds: float = Field(default=3600, gt=0, description="A stalled call gives up after this.")

    def limits_of(self, organization: str, group: str) -> Limits:
        """The limits that hold for a model group of an organization."""
        own = self.limits_by_group.get(f"{organization}/{group}")
        return own or self.limits_by_group.get(group, self.limits)

    def patched(self, patch: dict[str, Any]) -> "SimulatorConfig":
        """A copy with a JSON merge patch (RFC 7396) applied; pydantic's ValidationError if it does not fit."""
        return SimulatorConfig.model_validate(_merge(self.model_dump(), patch))


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            old = merged.get(name)
            base = cast("dict[str, Any]", old) if isinstance(old, dict) else {}
            merged[name] = _merge(base, cast("dict[str, Any]", value))
        else:
            merged[name] = value
    return merged
