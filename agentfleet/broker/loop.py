"""The event loop of a step worker: one thread, started after any fork, between Celery's hub and the engine.

Celery's main thread (the "hub") reads messages and speaks to Flower; this thread runs steps. They meet in two deques:
taken requests one way, outcomes the other, each with one wake-up for any number of entries. While the hub is stuck in
a reconnect, steps go on and settle.
"""

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import structlog
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentfleet.broker.request import StepRequest
from agentfleet.engine.serve import StepServer

log = structlog.get_logger("agentfleet.worker")

SWITCH_INTERVAL = 0.0005
"""Seconds. With the interpreter's 5 ms a busy loop starves the hub, and the prefetch window with it."""
REPORT_AFTER = 0.02
"""Seconds that an outcome may wait for others before the hub is woken: acknowledging is not urgent, waking is dear."""
RELISTEN = 1.0
"""Seconds between tries to hear revocations while Redis is away; heartbeats notice them meanwhile."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A running step server, and where it hears which steps to stop."""

    server: StepServer
    redis: Redis
    revoke_channel: str


@dataclass(frozen=True, slots=True)
class Done:
    """A request whose step was attempted: the event that ended it, or ``None``; ``runtime`` in seconds."""

    request: StepRequest
    outcome: str | None
    runtime: float


class LoopThread:
    """Owns the thread and the loop. ``serve`` builds everything on that loop; ``drain`` is in seconds."""

    def __init__(self, serve: Callable[[], AbstractAsyncContextManager[Serving]], *, drain: float) -> None:
        self._serve, self._drain = serve, drain
        self._taken: deque[StepRequest] = deque()
        self._pumping = False
        self.done: deque[Done] = deque()
        self.reporting = False
        """A look at ``done`` is due. Whoever looks resets it first, so that no entry is ever left without a look."""
        self.on_done: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: Serving | None = None
        self._finish: asyncio.Future[float] | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="agentfleet-steps", daemon=True)

    def start(self) -> None:
        """Start the thread and wait until the servers are reached; raises what went wrong."""
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._thread.start()
        self._ready.wait()
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

    def stop(self, within: float | None = None) -> None:
        """Drain (``within`` seconds, by default the setting) and end the thread."""
        if self._thread.is_alive() and self._finish is not None:
            finish, seconds = self._finish, self._drain if within is None else within
            self._call(lambda: None if finish.done() else finish.set_result(seconds))
            self._thread.join()

    @property
    def _server(self) -> StepServer:
        assert self._serving is not None, "started"
        return self._serving.server

    def _call(self, work: Callable[[], object]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work)

    def _pump(self) -> None:
        self._pumping = False
        while self._taken:
            request = self._taken.popleft()
            self._server.start(request.id, lambda outcome, r=request, t=time.monotonic(): self._report(r, outcome, t))

    def _report(self, request: StepRequest, outcome: str | None, started: float) -> None:
        self.done.append(Done(request, outcome, time.monotonic() - started))
        if not self.reporting:
            self.reporting = True
            asyncio.get_running_loop().call_later(REPORT_AFTER, self.on_done)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except BaseException as error:
            self._failure = error
            if self._ready.is_set():
                log.exception("step_loop_died")
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._finish = self._loop.create_future()
        async with self._serve() as serving:
            self._serving = serving
            serving.server.open()
            listening = asyncio.create_task(self._listen(serving))
            self._ready.set()
            within = await self._finish
            await serving.server.drain(within)
            listening.cancel()

    async def _listen(self, serving: Serving) -> None:
        while True:
            try:
                async with serving.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(serving.revoke_channel)
                    while True:
                        message = await pubsub.get_message(timeout=5.0)
                        if message is not None:
                            serving.server.stop(set(message["data"].decode().split()))
            except (RedisError, OSError) as error:
                log.debug("revocations_unheard", error=str(error))
                await asyncio.sleep(RELISTEN)
