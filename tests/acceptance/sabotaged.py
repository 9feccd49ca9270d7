"""A process of the fleet with one thing broken: ``python -m tests.acceptance.sabotaged HOW KIND``."""

import os
import runpy
import signal
import sys
from collections.abc import Sequence

from agentfleet import bootstrap
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


HOWS = {"thrice": Thrice, "dying": Dying}

if __name__ == "__main__":
    _, how, kind = sys.argv
    sys.argv = [kind]
    bootstrap.RedisPublisher = HOWS[how]
    runpy.run_module(kind, run_name="__main__")
