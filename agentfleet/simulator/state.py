"""Everything one simulator remembers between calls."""

import time
from collections.abc import Callable

from agentfleet.simulator.armed import FaultBoard
from agentfleet.simulator.buckets import Buckets
from agentfleet.simulator.cache import PromptCache
from agentfleet.simulator.config import SimulatorConfig
from agentfleet.simulator.log import RequestLog
from agentfleet.simulator.scripts import Script


class Simulator:
    """State of one server. One event loop owns it; there is no locking. `clock` gives Unix seconds."""

    def __init__(self, config: SimulatorConfig, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget everything: full buckets, an empty cache, no faults, no scripts, an empty log."""
        self.buckets = Buckets(self.config)
        self.cache = PromptCache(self.config.cache_min_tokens)
        self.faults = FaultBoard(self.config.seed)
        self.log = RequestLog(self.config.log_capacity)
        self.scripts = dict[str, Script]()
