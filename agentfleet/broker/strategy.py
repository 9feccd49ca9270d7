"""How a worker takes a step message: instead of Celery's request and tracer (1.2 ms), a hand-over (0.03 ms).

What others rely on is kept: ``worker.state`` (so ``inspect`` works), task events (so Flower works), ``revoke``, and the
prefetch window, because a message is acknowledged only when its step has settled.
"""

import logging
from collections.abc import Callable
from typing import Any

from celery.worker import state

from agentfleet.broker.events import TaskEvents
from agentfleet.broker.loop import LoopThread
from agentfleet.broker.request import StepRequest

_log = logging.getLogger("agentfleet.broker")


def step_strategy(task: Any, app: Any, consumer: Any, **_: Any) -> Callable[..., None]:
    """Celery calls this once per connection; the handler it returns takes every message of the step task."""
    thread: LoopThread = consumer.controller.step_loop
    events = TaskEvents(consumer, app.conf.agentfleet_task_events)

    def finish() -> None:
        thread.reporting = False
        while thread.done:
            done = thread.done.popleft()
            state.task_ready(done.request, successful=done.outcome == "succeed")
            events.finished(done)
            done.request.message.ack_log_error(_log, consumer.connection_errors)

    def take(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> None:
        request = StepRequest(message, consumer.hostname, thread.cancel_run)
        state.task_reserved(request)
        state.task_accepted(request)
        events.started(request)
        if request.id in state.revoked:
            thread.cancel_run(request.id, request.root_id)
        thread.take(request)

    # The hub runs `finish`: acknowledging and events belong to its thread, and its prefetch window opens again.
    thread.on_done = lambda: consumer.hub.call_soon(finish)
    return take
