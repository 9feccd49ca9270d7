"""Every name that we use in Redis, once."""

STEP_TASK = "agentfleet.step"
"""The Celery task: one message is one step."""
UNREADABLE_TASK = "agentfleet.unreadable"
"""What the transport calls a message that it cannot read."""


def queue(prefix: str, pool: str) -> str:
    """The Celery queue (a Redis list) of a pool's steps."""
    return f"{prefix}.steps.{pool}"


def void(queue: str) -> str:
    """A list that never exists, so that ``LPUSHX`` to it does nothing but ask whether Redis takes writes."""
    return f"{queue}:void"


def wake(prefix: str, pool: str) -> str:
    """A list of at most one element that a pool's dispatcher blocks on."""
    return f"{prefix}:wake:{pool}"


def revoke(prefix: str) -> str:
    """The channel on which workers hear which steps to stop at once."""
    return f"{prefix}:revoke"


def deltas(prefix: str, run_id: str) -> str:
    """The stream of a run's token deltas."""
    return f"{prefix}:deltas:{run_id}"


def listeners(prefix: str, run_id: str) -> str:
    """Exists while somebody listens to a run's deltas."""
    return f"{prefix}:listen:{run_id}"
