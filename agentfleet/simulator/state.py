"""Everything one simulator remembers between calls."""

from agentfleet.simulator.armed import FaultBoard
from agentfleet.simulator.buckets import Buckets
from agentfleet.simulator.cache import PromptCache
from agentfleet.simulator.clock import Clock
from agentfleet.simulator.config import SimulatorConfig
from agentfleet.simulator.log import RequestLog
from agentfleet.simulator.scripts import Script
from agentfleet.simulator.shelf import Shelf


class Simulator:
    """State of one server. One event loop owns it; there is no locking. Other threads may move the clock only."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.born_with = config
        self.clock = Clock(config.clock_speed)
        self.reset()

    def reset(self) -> None:
        """Forget everything: real time, the first configuration, full buckets, an empty cache, no batches, no log."""
        self.config = self.born_with
        self.clock.reset(self.config.clock_speed)
        self.buckets = Buckets(self.config)
        self.cache = PromptCache(self.config.cache_min_tokens)
        self.faults = FaultBoard(self.config.seed, self.clock)
        self.batches = Shelf()
        self.log = RequestLog(self.config.log_capacity)
        self.scripts = dict[str, Script]()

    def configure(self, config: SimulatorConfig) -> None:
        """Another configuration from now on. Seed and log keep their first one until the next reset."""
        if config.clock_speed != self.config.clock_speed:
            self.clock.run(config.clock_speed)
        self.config = self.buckets.config = config
        self.cache.min_tokens = config.cache_min_tokens

    def organization(self, key: str, otherwise: str) -> str:
        """The organization of an API key: by configuration, by what stands before a slash, or `otherwise`."""
        named, slash, _ = key.partition("/")
        return self.config.organization_by_key.get(key, named if slash else otherwise)
