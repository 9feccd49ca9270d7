"""The local autoscaler: as many step workers as the stack's own ingress says a pool should have."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agentfleet.settings import Settings

EVERY = 3.0
"""Seconds between two questions."""
PATIENCE = 5.0
"""Seconds for an answer."""
SLOTS = 16
"""Of a worker, unless AGENTFLEET_WORKER_CAPACITY says otherwise: with the usual thousands one would do for anything."""
BRISK = {"up_every": 10, "down_every": 10, "stabilise": 30, "lead": 10}
"""A fleet waits minutes before it makes a pool smaller; somebody who watches one does not."""


class Crew(Protocol):
    """Whose workers are started and drained."""

    @property
    def workers(self) -> int:
        """How many are to run."""
        ...

    def resize(self, workers: int) -> None:
        """Have so many."""
        ...


class Scaler:
    """Asks ``url`` (of the ingress) about ``pool`` and does as it says. ``say`` gets what it does, in a line each."""

    def __init__(self, crew: Crew, url: str, token: str, say: Callable[[str], None], *, pool: str = "default") -> None:
        self._crew, self._say = crew, say
        self._request = urllib.request.Request(  # noqa: S310  # our own ingress
            f"{url}/internal/autoscale?pool={pool}", headers={"Authorization": f"Bearer {token}"}
        )
        self._next, self._blind = 0.0, False

    def look(self) -> None:
        """Ask, if it is time, and start or drain workers. While nobody answers, everything stays as it is."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        try:
            with urllib.request.urlopen(self._request, timeout=PATIENCE) as answer:  # noqa: S310  # our own ingress
                decision = json.load(answer)
        except (OSError, ValueError) as error:  # the first seconds: nobody has measured the pool yet
            if not self._blind and not _not_yet(error):
                self._say(f"The autoscaler is blind, the workers stay as they are: {error}")
                self._blind = True
            return
        self._blind = False
        self._follow(decision)

    def _follow(self, decision: Mapping[str, Any]) -> None:
        have, wanted = self._crew.workers, int(decision["desired_workers"])
        if have != wanted:
            self._say(f"{have} -> {wanted} workers: {decision['binding']}. {decision['reason']}")
            self._crew.resize(wanted)


def scale_environment(settings: Settings, least: int, most: int) -> dict[str, str]:
    """The settings of a stack with an autoscaler: what you have set stays."""
    chosen = {
        "AGENTFLEET_SCALE_MIN_WORKERS": str(least),
        "AGENTFLEET_SCALE_MAX_WORKERS": str(most),
        "AGENTFLEET_WORKER_CAPACITY": str(SLOTS),
        "AGENTFLEET_SCALE_POOLS": json.dumps({settings.pool: BRISK}),
    }
    given = {f"AGENTFLEET_{name.upper()}" for name in settings.model_fields_set}
    limits = {"AGENTFLEET_SCALE_MIN_WORKERS", "AGENTFLEET_SCALE_MAX_WORKERS"}
    return {name: value for name, value in chosen.items() if name in limits or name not in given}


def _not_yet(error: Exception) -> bool:
    return isinstance(error, urllib.error.HTTPError) and error.code == 404  # nobody has measured it
