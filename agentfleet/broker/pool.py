"""Celery's pool of a step worker: none. Steps run on the loop; what is left here is what ``inspect stats`` tells."""

from typing import Any, NoReturn

from celery.concurrency.solo import TaskPool
from celery.worker import state

FIXED = (
    "a step worker's capacity is fixed: scale the number of workers, or deploy with another AGENTFLEET_WORKER_CAPACITY"
)


class StepPool(TaskPool):
    """The pool as operators see it, in Flower and by ``celery inspect stats``."""

    app: Any

    def _get_info(self) -> dict[str, Any]:
        return {
            **super()._get_info(),
            "implementation": "one event loop",
            "max-concurrency": self.app.conf.worker_concurrency,
            "running": len(state.active_requests),
        }

    def grow(self, n: int = 1) -> NoReturn:
        """Answer Flower's button; raises ``ValueError``."""
        raise ValueError(FIXED)

    shrink = grow
