"""One worker process of the model: its slots, its CPU, its life from starting to gone."""

from dataclasses import dataclass, field
from enum import Enum

from agentfleet.capacity.work import Step


class Phase(Enum):
    """A pod's life."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    GONE = "gone"


@dataclass(slots=True, eq=False)
class Pod:
    """``limit`` grows while the pod warms up; ``cpu_until`` is when the CPU work that it has been given is done."""

    born: float
    phase: Phase = Phase.STARTING
    limit: int = 0
    running: dict[int, Step] = field(default_factory=dict[int, Step])
    cpu_until: float = 0.0
    listed: bool = False
    """Whether it is among those that may have room."""

    @property
    def room(self) -> int:
        """Steps that it would take on now."""
        return max(self.limit - len(self.running), 0) if self.phase is Phase.SERVING else 0
