"""What each model cost a run, and what the same calls would have cost at the agent's own model."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from agentfleet.client.models import Step
from agentfleet.provider.prices import cost


@dataclass(frozen=True, slots=True)
class ModelCost:
    """The calls of one model that were paid for. ``at_main_usd``: at the list price of the agent's own model."""

    model: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    at_main_usd: Decimal = Decimal(0)

    def __add__(self, other: "ModelCost") -> "ModelCost":
        return ModelCost(
            self.model,
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost_usd + other.cost_usd,
            self.at_main_usd + other.at_main_usd,
        )


def by_model(main: str, steps: Iterable[Step]) -> list[ModelCost]:
    """One line per model that was called, the dearest first; ``steps`` with their attempts."""
    found: dict[str, ModelCost] = defaultdict(lambda: ModelCost(""))
    for step in steps:
        for attempt in step.attempts if step.kind == "reason" else ():
            usage = attempt.usage or {}
            if not usage.get("output_tokens"):
                continue
            counts = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
            read = sum(int(usage.get(name) or 0) for name in counts)
            own = attempt.cost_usd
            at_main = own if step.name == main else cost(usage, main, attempt.finished_at.date())
            call = ModelCost(step.name, 1, read, int(usage["output_tokens"]), own, at_main)
            found[step.name] = call + found[step.name]
    return sorted(found.values(), key=lambda line: (-line.cost_usd, line.model))


def saved(costs: Iterable[ModelCost]) -> Decimal:
    """What routes and stand-ins saved; negative when they cost more. Models without a price count as 0."""
    return sum((line.at_main_usd - line.cost_usd for line in costs if line.at_main_usd), Decimal(0))
