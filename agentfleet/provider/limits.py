"""How much of the network one process may use for model calls, and how patient it is."""

import resource
from dataclasses import dataclass

SPARE_FILES = 256
"""Open files that a worker needs beside its calls: databases, Redis, logs, libraries, what tools open."""
QUEUE_SECONDS = 10.0
"""How long a call waits for one of our own connections: longer, and its step should wait in Postgres."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one process. Durations in seconds; each is named by its setting when it cuts a call off.

    ``first_byte`` runs from the request to the headers of its answer, connecting included, ``idle`` from byte to byte
    after that, ``keep_alive`` is how long an unused connection is kept. ``connections`` counts all accounts together,
    ``per_host`` those to one host; ``None`` is as many.
    """

    connections: int
    per_host: int | None = None
    connect: float = 5.0
    first_byte: float = 60.0
    idle: float = 30.0
    keep_alive: float = 15.0


class TooSlow(Exception):
    """The provider used up one of its limits: the text names the limit and its setting."""


class NoneFree(Exception):
    """All of our own connections are busy: nothing was sent."""


def connections_for(capacity: int) -> int:
    """Connections for ``capacity`` steps in flight: one each, as a call needs one to itself, if the files allow it."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return capacity if files == resource.RLIM_INFINITY else max(1, min(capacity, files - SPARE_FILES))
