"""The event loop of a step worker: one thread, started after any fork, between Celery's hub and the engine.

Celery's main thread (the "hub") reads messages and speaks to Flower; this thread runs steps. They meet in two deques:
taken requests one way, outcomes the other, each with one wake-up for any number of entries. While the hub is stuck in
a reconnect, steps go on and settle.
"""

import asyncio
import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import cast

import structlog
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentfleet.broker.request import StepRequest
from agentfleet.broker.watchdog import Watchdog
from agentfleet.cancellation import cancelled
from agentfleet.engine.serve import StepServer

log = structlog.get_logger("agentfleet.worker")

SWITCH_INTERVAL = 0.0005
"""Seconds. With the interpreter's 5 ms a busy loop starves the hub, and the prefetch window with it."""
REPORT_AFTER = 0.02
"""Seconds that an outcome may wait for others before the hub is woken: acknowledging is not urgent, waking is dear."""
LOOK_EVERY = 0.1
"""Seconds between two looks of the hub's thread at signals while it waits for this one."""
RELISTEN = 1.0
"""Seconds between tries to hear revocations while Redis is away; heartbeats notice them meanwhile."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A running step server, where it hears which steps to stop, and who watches that it gets any."""

    server: StepServer
    redis: Redis
    revoke_channel: str
    watchdog: Watchdog


@dataclass(frozen=True, slots=True)
class Done:
    """A request whose step was attempted: the event that ended it, ``revoked``, or ``None``; ``runtime`` in seconds."""

    request: StepRequest
    outcome: str | None
    runtime: float


class LoopThread:
    """Owns the thread and the loop. ``serve`` builds everything on that loop.

    ``resting`` says whether the consumer may be silent, given how many requests are in hand. ``died`` is called, in the
    thread, when the loop ends before anybody asked it to, or ends because the consumer is deaf.
    """

    def __init__(
        self,
        serve: Callable[[], AbstractAsyncContextManager[Serving]],
        *,
        resting: Callable[[int], bool],
        died: Callable[[], None],
    ) -> None:
        self._serve, self._resting, self._died = serve, resting, died
        self._in_hand: set[StepRequest] = set()
        self._taken: deque[StepRequest] = deque()
        self._pumping = False
        self.done: deque[Done] = deque()
        self.reporting = False
        """A look at ``done`` is due. Whoever looks resets it first, so that no entry is ever left without a look."""
        self.on_done: Callable[[], None] = lambda: None
        """Wakes whoever looks, from this thread."""
        self.finish: Callable[[], None] = lambda: None
        """Looks. The hub's thread calls it."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: Serving | None = None
        self._finish: asyncio.Future[float] | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="agentfleet-steps", daemon=True)

    def start(self, waiting: Callable[[], None] = lambda: None) -> None:
        """Start the thread and wait until the servers are reached; raises what went wrong, or what ``waiting`` does."""
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._thread.start()
        while not self._ready.wait(LOOK_EVERY):
            waiting()
        if self._failure is not None:
            raise self._failure

    def take(self, request: StepRequest) -> None:
        """Hand a step over; callable from any thread."""
        self._taken.append(request)
        if not self._pumping:
            self._pumping = True
            self._call(self._pump)

    def cancel_run(self, _step_id: str, run_id: str) -> None:
        """Cancel the run of a revoked step; callable from any thread."""
        self._call(lambda: self._server.cancel_run(run_id))

    def bury(self, raw: bytes, problem: str) -> None:
        """Keep a message that is no step; callable from any thread."""
        self._call(lambda: self._server.bury(raw, problem))

    def close(self) -> None:
        """Claim nothing from now on."""
        self._call(self._server.close)

    def drain(self, within: float) -> None:
        """Start to end: let steps finish for ``within`` seconds, hand back the rest. Then the thread ends."""
        finish = self._finish
        if finish is not None:
            self._call(lambda: None if finish.done() else finish.set_result(within))

    def hurry(self) -> None:
        """Cut a drain short."""
        self._call(self._server.hurry)

    def join(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the thread; whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def _server(self) -> StepServer:
        assert self._serving is not None, "started"  # noqa: S101  # only called on the loop, which serves
        return self._serving.server

    def _call(self, work: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is left to work on
                self._loop.call_soon_threadsafe(work)

    def _pump(self) -> None:
        self._pumping = False
        while self._taken:
            request = self._taken.popleft()
            self._in_hand.add(request)
            self._server.start(request.id, partial(self._report, request, time.monotonic()))

    def _report(self, request: StepRequest, started: float, outcome: str | None) -> None:
        self._in_hand.discard(request)
        ended = outcome or ("revoked" if request.stopped else None)
        self.done.append(Done(request, ended, time.monotonic() - started))
        if not self.reporting:
            self.reporting = True
            asyncio.get_running_loop().call_later(REPORT_AFTER, self.on_done)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except BaseException as error:  # whatever it was, nobody else sees it
            self._failure = error
            if self._ready.is_set():
                log.exception("step_loop_died")
                self._died()
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._finish = self._loop.create_future()
        async with self._serve() as serving:
            self._serving = serving
            serving.server.open()
            beside = [asyncio.create_task(self._listen(serving)), asyncio.create_task(self._watch(serving.watchdog))]
            self._ready.set()
            within = await self._finish
            beside[1].cancel()  # who drains need not hear
            await serving.server.drain(within)
            beside[0].cancel()
            await asyncio.wait(beside)

    async def _watch(self, watchdog: Watchdog) -> None:
        """Hand everything back when the consumer is deaf: nobody would be told what became of it, nor bring more."""
        await watchdog.deaf(lambda: self._resting(len(self._in_hand)))
        self._died()
        self.drain(0)

    async def _listen(self, serving: Serving) -> None:
        while not cancelled():
            try:
                async with serving.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(serving.revoke_channel)
                    while not cancelled():
                        message = await pubsub.get_message(timeout=5.0)
                        if message is not None:
                            data = cast("bytes", message["data"])
                            self._stop(serving, set(data.decode(errors="replace").split()))
            except (RedisError, OSError) as error:
                log.debug("revocations_unheard", error=str(error))
                await asyncio.sleep(RELISTEN)

    def _stop(self, serving: Serving, step_ids: set[str]) -> None:
        """The runs of these steps have ended: whoever watches shall see that they were stopped."""
        for request in self._in_hand:
            request.stopped = request.stopped or request.id in step_ids
        serving.server.stop(step_ids)
