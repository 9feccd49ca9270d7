"""How a duty runs for ever: lead, do one round, wait, until SIGTERM."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from agentfleet.cancellation import cancelled
from agentfleet.store.leadership import Leadership
from agentfleet.telemetry import metrics
from workers.announce import announce

log = structlog.get_logger("agentfleet.loops")


@dataclass(frozen=True, slots=True)
class Duty:
    """A verb of the engine: ``run_once`` does one bounded round and says how much it did; ``every`` in seconds."""

    name: str
    run_once: Callable[[], Awaitable[int]]
    every: float
    wait: Callable[[float], Awaitable[object]] = asyncio.sleep


async def run(duty: Duty) -> None:
    """Rounds until cancelled, at once after one that did something, else a pause apart. An error costs one round."""
    ok, failed = (metrics.DUTY_ROUNDS.labels(duty.name, outcome) for outcome in ("ok", "failed"))
    while not cancelled():
        try:
            did = await duty.run_once()
            ok.inc()
            if did:
                continue
        except Exception:
            failed.inc()
            log.exception("round_failed", duty=duty.name)
        await duty.wait(duty.every)


async def lead(name: str, leadership: Leadership, duties: list[Duty], *, check_every: float) -> None:
    """Run ``duties`` while this process leads ``name``, until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    gauge, running = metrics.LEADER.labels(name), list[asyncio.Task[None]]()
    log.info("started", duty=name)
    announce(ready=name)
    while not stop.is_set():
        leads = await leadership.held()
        if leads and not running:
            log.info("leading", duty=name)
            running = [asyncio.create_task(run(duty)) for duty in duties]
        elif running and not leads:
            log.warning("lost_leadership", duty=name)
            await _stop(running)
            metrics.forget_led()
        gauge.set(leads)
        try:
            await asyncio.wait_for(stop.wait(), check_every)
        except TimeoutError:
            continue
    await _stop(running)
    await leadership.release()
    log.info("stopped", duty=name)


async def _stop(running: list[asyncio.Task[None]]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    running.clear()
