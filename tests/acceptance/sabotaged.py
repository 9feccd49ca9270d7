"""A process of the fleet with one thing broken: ``python -m tests.acceptance.sabotaged HOW KIND``."""

import runpy
import sys
import threading
from collections.abc import Sequence

from agentfleet import bootstrap
from agentfleet.broker import bootstep, transport
from agentfleet.broker.publisher import RedisPublisher
from agentfleet.domain.model import Doorbell
from agentfleet.store import leadership
from agentfleet.store.leadership import Leadership


class Tenfold(RedisPublisher):
    """Sends every message ten times."""

    async def publish(self, doorbells: Sequence[Doorbell]) -> None:
        await super().publish([bell for bell in doorbells for _ in range(10)])


class Deaf(transport.Channel):
    """Pops over the first connection only: a reconnect that went wrong."""

    first: "Deaf | None" = None

    def _brpop_start(self, timeout: float | None = None) -> None:
        Deaf.first = Deaf.first or self
        if self is Deaf.first:
            super()._brpop_start(timeout)


class Hung(Deaf):
    """Never comes back from its first pop over another connection."""

    def _brpop_start(self, timeout: float | None = None) -> None:
        super()._brpop_start(timeout)
        if self is not Deaf.first:
            threading.Event().wait()


class Leading(Leadership):
    """Leads, whoever else does."""

    async def held(self) -> bool:
        return True


def publish_with(publisher: type[RedisPublisher]) -> None:
    bootstrap.RedisPublisher = publisher


def consume_with(channel: type[transport.Channel]) -> None:
    transport.Transport.Channel = channel
    bootstep.LAST_PATIENCE = 1


def lead_anyway() -> None:
    leadership.Leadership = Leading


HOWS = {
    "tenfold": lambda: publish_with(Tenfold),
    "deaf": lambda: consume_with(Deaf),
    "hung": lambda: consume_with(Hung),
    "leading": lead_anyway,
}

if __name__ == "__main__":
    _, how, kind = sys.argv
    sys.argv = [kind]
    HOWS[how]()
    runpy.run_module(kind, run_name="__main__")
