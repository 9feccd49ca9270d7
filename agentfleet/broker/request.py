"""What Celery, ``inspect`` and Flower may know about a step that this worker has taken."""

import os
import time
import uuid
from collections.abc import Callable
from typing import Any

from celery.exceptions import InvalidTaskError

from agentfleet.broker.task import StepTask


class StepRequest:
    """The few attributes of ``celery.worker.request.Request`` that anybody uses; registered in ``worker.state``.

    Raises ``InvalidTaskError`` for a message that cannot be about a step.
    """

    __slots__ = (
        "__weakref__",
        "_stop",
        "args",
        "eventer",
        "hostname",
        "id",
        "message",
        "name",
        "root_id",
        "stopped",
        "time_start",
    )

    task = StepTask
    stamps: dict[str, Any] | None = None
    acknowledged = False

    def __init__(self, message: Any, hostname: str, stop: Callable[[str, str], None]) -> None:
        headers = message.headers
        try:
            self.id = str(uuid.UUID(headers["id"]))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InvalidTaskError(f"{headers.get('id')!r} is not a step's id") from None
        self.message, self.hostname, self._stop = message, hostname, stop
        self.name = str(headers.get("shadow") or headers["task"])
        self.args = str(headers.get("argsrepr") or "")
        self.root_id = str(headers.get("root_id") or self.id)
        self.time_start = time.time()
        self.stopped = False
        """Its run ended while it was in hand."""
        self.eventer: Any = None
        """Celery gives every request the new event dispatcher after a reconnect."""

    def info(self, safe: bool = False) -> dict[str, Any]:
        """For ``inspect active`` and ``inspect query_task``."""
        return {
            "id": self.id,
            "name": self.name,
            "args": self.args,
            "kwargs": "",
            "type": self.message.headers["task"],
            "hostname": self.hostname,
            "time_start": self.time_start,
            "acknowledged": False,
            "delivery_info": self.message.delivery_info,
            "worker_pid": os.getpid(),
        }

    def terminate(self, pool: Any = None, signal: Any = None) -> None:
        """``revoke(terminate=True)``: cancel the run that this step belongs to."""
        self._stop(self.id, self.root_id)

    def cancel(self, pool: Any = None, signal: Any = None, emit_retry: bool = True) -> None:
        """What Celery does to requests in a cold shutdown: nothing here, the drain hands the step back."""

    def revoked(self) -> bool:
        return False
