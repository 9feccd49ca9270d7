"""What a run may spend and what it has spent."""

import math
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call, or a whole run, consumed. Tokens as the provider bills them; ``cost_usd`` in US dollars."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    @property
    def context_tokens(self) -> int:
        """The whole prompt and its answer: what the next prompt of the conversation begins with."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cost_usd + other.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """The ceilings of one run. ``None`` means no ceiling.

    ``max_steps`` counts reason and tool steps, ``max_tool_calls`` only the latter, ``max_cost_usd`` US dollars,
    ``deadline`` wall time from the moment the run was accepted.
    """

    max_steps: int | None = 100
    max_tool_calls: int | None = None
    max_cost_usd: Decimal | float | None = None
    deadline: timedelta | None = None

    def __post_init__(self) -> None:
        for name in ("max_steps", "max_tool_calls", "max_cost_usd"):
            value = getattr(self, name)
            if value is not None and (math.isnan(value) or value <= 0):
                raise ValueError(f"Budget.{name} must be greater than zero, not {value!r}")
        if self.deadline is not None and self.deadline <= timedelta(0):
            raise ValueError(f"Budget.deadline must be greater than zero, not {self.deadline!r}")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come: what the ceilings are compared with."""

    steps: int = 0
    tool_calls: int = 0
    usage: Usage = field(default_factory=Usage)


def ceiling_reached(budget: Budget, progress: Progress, *, more_steps: int = 0, more_tool_calls: int = 0) -> str | None:
    """The name of the first ceiling that ``more`` would break, or ``None``.

    The cost ceiling is reached when nothing is left, so one call that is under way may overshoot it, never two.
    """
    if budget.max_steps is not None and progress.steps + more_steps > budget.max_steps:
        return "max_steps"
    if budget.max_tool_calls is not None and progress.tool_calls + more_tool_calls > budget.max_tool_calls:
        return "max_tool_calls"
    if budget.max_cost_usd is not None and progress.usage.cost_usd >= Decimal(str(budget.max_cost_usd)):
        return "max_cost_usd"
    return None
