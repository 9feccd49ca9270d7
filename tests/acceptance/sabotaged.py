"""A process of the fleet with one thing broken: ``python -m tests.acceptance.sabotaged HOW KIND``."""

import os
import runpy
import signal
import sys
import threading
from collections.abc import Sequence

from agentfleet import bootstrap
from agentfleet.broker import bootstep, transport
from agentfleet.broker.publisher import RedisPublisher
from agentfleet.domain.model import Doorbell


class Thrice(RedisPublisher):
    """Sends every message three times."""

    async def publish(self, doorbells: Sequence[Doorbell]) -> None:
        await super().publish([bell for bell in doorbells for _ in range(3)])


class Dying(RedisPublisher):
    """Dies between the commit and its first message."""

    async def publish(self, doorbells: Sequence[Doorbell]) -> None:  # noqa: ARG002  # nobody gets them
        os.kill(os.getpid(), signal.SIGKILL)


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


def publish_with(publisher: type[RedisPublisher]) -> None:
    bootstrap.RedisPublisher = publisher


def consume_with(channel: type[transport.Channel]) -> None:
    transport.Transport.Channel = channel
    bootstep.LAST_PATIENCE = 1


HOWS = {
    "thrice": lambda: publish_with(Thrice),
    "dying": lambda: publish_with(Dying),
    "deaf": lambda: consume_with(Deaf),
    "hung": lambda: consume_with(Hung),
}

if __name__ == "__main__":
    _, how, kind = sys.argv
    sys.argv = [kind]
    HOWS[how]()
    runpy.run_module(kind, run_name="__main__")
