"""Deploy at any time: a worker that is told to stop finishes what it can and hands back the rest."""

import signal

import pytest

from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, until


async def test_sigterm_drains(fleet: Fleet) -> None:
    first = await fleet.worker(drain=8)
    long, short = await fleet.submit(agents.holder), await fleet.submit(agents.short_holder)
    await fleet.called("hold")
    await fleet.called("hold_short")
    first.send(signal.SIGTERM)
    await until(lambda: first.logs("drain_started"), "the drain has started")
    late = await fleet.submit(agents.chat)
    fleet.open("open-short")
    second = await fleet.worker()
    assert await first.wait() == 0
    await fleet.called("hold", 2)
    fleet.open()
    await fleet.finished([*long, *short, *late])
    assert fleet.outcomes(short, "hold_short") == [("succeed", 1, str(first.pid))]
    assert fleet.outcomes(long, "hold") == [("hand_back", 0, str(first.pid)), ("succeed", 1, str(second.pid))]
    drained_at = first.logs("drain_started")[0]["ts"]
    late_claims = "SELECT step_id FROM attempts WHERE worker LIKE %s AND claimed_at > %s"
    assert fleet.query(late_claims, f"%:{first.pid}", drained_at) == []


QUIT, TERM, INT = signal.SIGQUIT, signal.SIGTERM, signal.SIGINT


@pytest.mark.parametrize("signals", [[QUIT], [TERM, QUIT], [INT, INT]])
async def test_sigquit_hands_everything_back_at_once(fleet: Fleet, signals: list[signal.Signals]) -> None:
    first = await fleet.worker(drain=600)
    runs = [*await fleet.submit(agents.holder), *await fleet.submit(agents.blocker)]
    await fleet.called("hold")
    await fleet.called("block")
    for signum in signals:
        first.send(signum)
        await until(lambda: first.logs("drain_started"), "the drain has started")
    await first.wait()
    assert fleet.states(runs) == ["running", "running"]
    second = await fleet.worker()
    fleet.open()
    await fleet.finished(runs)
    for tool in ("hold", "block"):
        assert fleet.outcomes(runs, tool) == [("hand_back", 0, str(first.pid)), ("succeed", 1, str(second.pid))]


async def test_a_drain_without_redis_ends_in_time(fleet: Fleet) -> None:
    first = await fleet.worker(drain=1)
    runs = await fleet.submit(agents.holder)
    await fleet.called("hold")
    await fleet.ground.kill_redis()
    await until(lambda: first.logs_at("error"), "the worker misses Redis")
    assert await first.end() == 0
    fleet.ground.redis.revive()
    await fleet.worker()
    fleet.open()
    await fleet.finished(runs)
    assert [outcome for outcome, _, _ in fleet.outcomes(runs, "hold")] == ["hand_back", "succeed"]


async def test_an_idle_worker_ends_at_once(fleet: Fleet) -> None:
    worker = await fleet.worker(drain=600)
    assert await worker.end() == 0


async def test_a_worker_whose_loop_dies_ends_with_an_error(fleet: Fleet) -> None:
    first = await fleet.worker()
    runs = await fleet.submit(agents.breaker)
    assert await first.wait() == 1
    assert first.logs("step_loop_died")
    await fleet.worker()
    await fleet.finished(runs)


async def test_a_worker_that_cannot_start_says_why_and_ends_with_an_error(fleet: Fleet) -> None:
    worker = fleet.ground.start("workers.steps", directory=fleet.directory, agents="tests.acceptance.nothing_here")
    assert await worker.wait() == 1
    [line] = worker.printed
    assert "tests.acceptance.nothing_here" in line


async def test_a_worker_that_waits_for_the_database_can_be_stopped(fleet: Fleet) -> None:
    worker = fleet.start(database_url="postgresql://nobody:secret@127.0.0.1:1/nothing")
    await until(lambda: worker.logs_at("warning"), "it has tried")
    assert await worker.end() == 0
