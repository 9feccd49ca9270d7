"""Celery task events about steps, for Flower. Sent only while somebody has switched task events on."""

import uuid
from typing import Any

from agentfleet.broker.loop import Done
from agentfleet.broker.request import StepRequest

SAMPLE = 20
"""With ``sampled``, one step in this many is shown: Flower costs 2 ms of CPU per task, which is more than the step."""


class TaskEvents:
    """Says received, started and succeeded, retried or failed, through the consumer's own dispatcher."""

    def __init__(self, consumer: Any, mode: str) -> None:
        self._consumer, self._mode = consumer, mode

    def started(self, request: StepRequest) -> None:
        """The step was taken and runs."""
        if self._watched(request.id):
            self._send("task-received", request, kwargs="", parent_id=None, retries=0, eta=None, expires=None)
            self._consumer.event_dispatcher.send("task-started", uuid=request.id)

    def finished(self, done: Done) -> None:
        """The attempt ended. Celery's words: a buried step has failed, one that will be tried again is retried."""
        if not self._watched(done.request.id):
            return
        match done.outcome:
            case "bury":
                self._send("task-failed", done.request, exception="buried: see its dead letter", traceback="")
            case "cancel":
                self._send("task-failed", done.request, exception="its run reached a ceiling", traceback="")
            case "retry" | "snooze" | "hand_back":
                self._send("task-retried", done.request, exception=done.outcome, traceback="")
            case "revoked":
                self._send("task-revoked", done.request, terminated=True, signum=None, expired=False)
            case "succeed":
                self._send("task-succeeded", done.request, result="settled", runtime=done.runtime)
            case _:
                result = "no-op: not ours to run"
                self._send("task-succeeded", done.request, result=result, runtime=done.runtime)

    def _send(self, event: str, request: StepRequest, **more: Any) -> None:
        """With what names the task, each time: who begins to listen in the middle shall know what it is, too."""
        self._consumer.event_dispatcher.send(
            event, uuid=request.id, name=request.name, args=request.args, root_id=request.root_id, **more
        )

    def _watched(self, step_id: str) -> bool:
        dispatcher = self._consumer.event_dispatcher
        if self._mode == "off" or dispatcher is None or not dispatcher.enabled:
            return False
        if dispatcher.groups and "task" not in dispatcher.groups:
            return False
        return self._mode == "all" or uuid.UUID(step_id).int % SAMPLE == 0
