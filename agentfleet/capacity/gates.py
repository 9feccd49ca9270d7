"""The four gates that a scaler must pass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agentfleet.capacity.timeline import Figures


@dataclass(frozen=True, slots=True)
class Gate:
    """``figure`` must not exceed ``most``."""

    about: str
    most: float
    figure: Callable[[Figures], float]
    unit: str = ""

    def holds(self, figures: Figures) -> bool:
        """Whether it is passed."""
        return self.figure(figures) <= self.most


GATES: Mapping[str, Gate] = MappingProxyType(
    {
        "p95_ready_age": Gate("95 % of steps begin within", 10.0, lambda f: f.p95_ready_age_s, " s"),
        "provider_cap": Gate(
            "longest above the provider's capacity", 60.0, lambda f: f.max_seconds_above_provider_cap, " s"
        ),
        "direction_changes": Gate("turns within ten minutes", 2, lambda f: f.direction_changes_per_10min),
        "interrupted": Gate("steps interrupted by scale-in", 0.01, lambda f: f.interrupted_fraction),
    }
)
"""The age of a step is for how long it missed a worker: not the time before the provider would have had room for it."""


def verdicts(figures: Figures) -> dict[str, bool]:
    """Each gate's verdict."""
    return {name: gate.holds(figures) for name, gate in GATES.items()}
