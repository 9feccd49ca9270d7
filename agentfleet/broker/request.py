"""What Celery, ``inspect`` and Flower may know about a step that this worker has taken."""

import os
import time
from collections.abc import Callable
from typing import Any

_PID = os.getpid


class StepRequest:
    """The few attributes of ``celery.worker.request.Request`` that anybody reads; registered in ``worker.state``."""

    __slots__ = ("__weakref__", "_stop", "args", "hostname", "id", "message", "name", "root_id", "time_start")

    task = None
    stamps: dict[str, Any] | None = None
    acknowledged = False

    def __init__(self, message: Any, hostname: str, stop: Callable[[str, str], None]) -> None:
        headers = message.headers
        self.message, self.hostname, self._stop = message, hostname, stop
        self.id: str = headers["id"]
        self.name: str = headers.get("shadow") or headers["task"]
        self.args: str = headers.get("argsrepr") or ""
        self.root_id: str = headers.get("root_id") or self.id
        self.time_start = time.time()

    def info(self, safe: bool = False) -> dict[str, Any]:
        """For ``inspect active`` and ``inspect query_task``."""
        return {
            "id": self.id, "name": self.name, "args": self.args, "kwargs": "", "type": self.message.headers["task"],
            "hostname": self.hostname, "time_start": self.time_start, "acknowledged": False,
            "delivery_info": self.message.delivery_info, "worker_pid": _PID(),
        }

    def terminate(self, pool: Any = None, signal: Any = None) -> None:
        """``revoke(terminate=True)``: cancel the run that this step belongs to."""
        self._stop(self.id, self.root_id)

    cancel = terminate

    def revoked(self) -> bool:
        return False
