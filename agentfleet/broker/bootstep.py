"""What the step worker adds to Celery's worker: the loop thread, and a grave for messages that are no steps."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import orjson
from celery import Celery, bootsteps

from agentfleet.broker.loop import LoopThread, Serving

COLD_DRAIN = 0.0
"""Seconds that a cold shutdown (SIGQUIT) waits for steps before handing them back."""


class StepLoop(bootsteps.StartStopStep):
    """Starts the loop thread before the consumer, drains it after the consumer has stopped."""

    requires = ("celery.worker.components:Pool",)
    serve: ClassVar[Callable[[], AbstractAsyncContextManager[Serving]]]
    drain: ClassVar[float]

    def create(self, parent: Any) -> LoopThread:
        parent.step_loop = LoopThread(type(self).serve, drain=type(self).drain)
        return parent.step_loop

    def stop(self, parent: Any) -> None:
        parent.step_loop.stop()

    def terminate(self, parent: Any) -> None:
        parent.step_loop.stop(COLD_DRAIN)


class Grave(bootsteps.StartStopStep):
    """Messages that are unreadable, or foreign to our queue, are kept raw and acknowledged: nobody retries poison."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        def bury(message: Any, problem: str) -> None:
            body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
            raw = body if message.content_type == "application/octet-stream" else orjson.dumps(
                {"headers": message.headers, "properties": message.properties, "body": body.decode("utf-8", "replace")}, default=str
            )
            parent.controller.step_loop.bury(raw, problem)
            message.ack()

        parent.on_unknown_message = lambda body, message: bury(message, "not a Celery task message")
        parent.on_unknown_task = lambda body, message, exc: bury(message, f"no task of ours: {message.headers.get('task')!r}")
        parent.on_invalid_task = lambda body, message, exc: bury(message, f"not a step message: {exc}")
        parent.on_decode_error = lambda message, exc: bury(message, f"cannot be decoded: {exc}")


def install(app: Celery, serve: Callable[[], AbstractAsyncContextManager[Serving]], *, drain: float) -> None:
    """Make this app's worker a step worker."""
    app.steps["worker"].add(type("StepLoop", (StepLoop,), {"serve": staticmethod(serve), "drain": drain}))
    app.steps["consumer"].add(Grave)
