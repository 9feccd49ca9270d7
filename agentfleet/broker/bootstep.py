"""What the step worker adds to Celery's worker: the loop thread, and a grave for messages that are no steps."""

import os
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import orjson
from celery import Celery, bootsteps, signals
from celery.apps import worker as celery_worker
from celery.bin.celery import celery
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.worker import state
from kombu.common import ignore_errors

from agentfleet.broker.loop import LoopThread, Serving
from agentfleet.broker.transport import receive_rest
from agentfleet.broker.warmup import SlowStart, WarmUp

COLD_DRAIN = 0.0
"""Seconds that a cold shutdown (SIGQUIT) waits for steps before handing them back."""
LAST_PATIENCE = 20.0
"""Seconds after the drain time in which the thread hands back and closes; an unstoppable tool takes longer."""
LOOK_EVERY = 0.05
"""Seconds between two looks at what ended, while draining."""
EX_FAILURE = 1


@dataclass(frozen=True, slots=True)
class Work:
    """What a step worker runs: ``serve`` builds it on the loop. It warms up and drains for so many seconds."""

    serve: Callable[[], AbstractAsyncContextManager[Serving]]
    drain: float
    warm_up: float


class StepLoop(bootsteps.StartStopStep):
    """Starts the loop thread before the consumer, drains it after the consumer has stopped.

    The first SIGTERM or SIGINT drains; a SIGQUIT, or a second SIGINT, hands everything back at once, also in mid-drain.
    """

    requires = ("celery.worker.components:Pool",)
    work: ClassVar[Work]

    def create(self, parent: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # theirs has no types
        warm_up = parent.warm_up = WarmUp(parent.concurrency, self.work.warm_up)

        def resting(running: int) -> bool:
            return running >= warm_up.window or not parent.app.amqp.queues.consume_from  # `cancel_consumer`

        parent.step_loop = LoopThread(self.work.serve, resting=resting, died=_end_worker)
        return parent.step_loop

    def start(self, parent: Any) -> None:
        _quiet_signals(parent)
        # At every reconnect: the default of a setting will change, which we set. Celery has switched these on by now.
        warnings.filterwarnings("ignore", r"\s*In Celery 5\.1 we introduced", CPendingDeprecationWarning)
        parent.step_loop.start(state.maybe_shutdown)

    def stop(self, parent: Any) -> None:
        self._drain(parent, self.work.drain)

    def terminate(self, parent: Any) -> None:
        self._drain(parent, COLD_DRAIN)

    def _drain(self, parent: Any, within: float) -> None:
        """Meanwhile no hub runs, so look after its duties: report what ends, hear the signals."""
        thread: LoopThread = parent.step_loop
        thread.drain(within)
        looks = (within + LAST_PATIENCE) / LOOK_EVERY
        ended = False
        while not ended and looks > 0:
            ended = thread.join(LOOK_EVERY)
            looks -= 1
            thread.finish()
            if parent.consumer.event_dispatcher is not None:
                parent.consumer.event_dispatcher.flush()
            if state.should_terminate:
                thread.hurry()


class Grave(bootsteps.StartStopStep):
    """Messages that are unreadable, or foreign to our queue, are kept raw and acknowledged: nobody retries poison."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        def bury(message: Any, problem: str) -> None:
            parent.controller.step_loop.bury(_raw(message), problem)
            message.ack()

        parent.on_unknown_message = lambda body, message: bury(message, "not a Celery task message")
        parent.on_unknown_task = lambda body, message, exc: bury(message, f"no task of ours: {exc}")
        parent.on_invalid_task = lambda body, message, exc: bury(message, f"not a step message: {exc}")
        parent.on_decode_error = lambda message, exc: bury(message, f"cannot be decoded: {exc}")

    def stop(self, parent: Any) -> None:
        """The worker stops, or only reconnects. When it stops, what is on its way here goes back to Postgres."""
        if parent.blueprint.state != bootsteps.RUN and parent.task_consumer is not None:
            parent.controller.step_loop.close()
            ignore_errors(parent, receive_rest, parent.task_consumer.channel)


def install(app: Celery, work: Work) -> None:
    """Make this app's worker a step worker."""
    steps = cast("Any", app).steps
    steps["worker"].add(type("StepLoop", (StepLoop,), {"work": work}))
    steps["consumer"].update((Grave, SlowStart))
    signals.setup_logging.connect(_keep_logging, weak=False)
    # Celery warns root because it might unpickle what anybody sends. We accept JSON only.
    warnings.filterwarnings("ignore", "You're running the worker with superuser privileges", SecurityWarning)


def run(app: Celery, arguments: list[str]) -> int:
    """Run the worker until it stops; its exit code, which ``app.worker_main`` would drop."""
    command = cast("Any", celery)
    command.params[0].default = app
    return command.main(args=["--quiet", "worker", *arguments], standalone_mode=False) or 0


def _raw(message: Any) -> bytes:
    """What the transport could not read as it came; anything else as JSON text."""
    body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
    if message.content_type == "application/octet-stream":
        return body
    text = body.decode("utf-8", "replace")
    return orjson.dumps({"headers": message.headers, "properties": message.properties, "body": text}, default=str)


def _end_worker() -> None:
    """Called from the loop's thread: a worker that takes no messages, or does nothing with them, is no worker.

    A hub that hears not even this is ended by force. By then the thread has handed back what it held.
    """
    state.should_stop = EX_FAILURE
    force = threading.Timer(LAST_PATIENCE, os._exit, (EX_FAILURE,))
    force.daemon = True
    force.start()


def _quiet_signals(worker: Any) -> None:
    """Celery's handlers without their prints, which are no log lines, and without its pool: the drain is ours."""
    celery_worker.install_worker_term_handler(worker, callback=None, verbose=False)
    celery_worker.install_worker_term_hard_handler(worker, callback=None, verbose=False)
    celery_worker.install_worker_int_handler(worker, callback=_second_interrupt, verbose=False)


def _second_interrupt(worker: Any) -> None:
    celery_worker.install_worker_term_hard_handler(worker, sig="SIGINT", callback=None, verbose=False)


def _keep_logging(**_: Any) -> None:
    """A receiver of this signal tells Celery that logging is configured."""
