"""Leases are the database's business: what a worker takes for the time of day changes nothing."""

from datetime import UTC, datetime

from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, Process, until
from tests.chaos.figures import Figures

CLOCKS = ("300", "-300", "86400", "-86400", "jumping")
"""By how many seconds they are wrong."""
LEASE, EACH = 2.0, 2


def wrong(fleet: Fleet, clock: str) -> Process:
    """Start a step worker with such a clock."""
    settings = {"lease": LEASE, "heartbeat": 0.5, "worker_capacity": EACH}
    worker = fleet.ground.start(
        "tests.chaos.wrong_clock", clock, "workers.steps", directory=fleet.directory, **settings
    )
    fleet.workers.append(worker)
    return worker


def off(worker: Process) -> float:
    """By how many seconds its log is wrong."""
    return abs((datetime.fromisoformat(worker.lines[-1]["ts"]) - datetime.now(UTC)).total_seconds())


async def early_and_stuck(fleet: Fleet) -> tuple[int, int]:
    """Steps that were taken from a worker that held them, and those that nobody took when it had died."""
    for name in ("open", "calls"):
        (fleet.directory / name).unlink(missing_ok=True)
    workers = [wrong(fleet, clock) for clock in CLOCKS]
    for worker in workers:
        await worker.ready()
        assert off(worker) > 200, "the clock is wrong"
    await fleet.finished(await fleet.submit(agents.notes, 5))
    runs = await fleet.submit(agents.holder, EACH * len(CLOCKS))
    await fleet.called("hold", len(runs))
    renewed = "SELECT id FROM steps WHERE state = 'running' AND lease_until > claimed_at + %s * interval '1 s'"
    await until(lambda: len(fleet.query(renewed, 2 * LEASE)) == len(runs), "every lease was renewed for a while")
    early = len(fleet.outcomes(runs, "hold"))
    *killed, drained = workers
    for worker in killed:
        worker.kill()
    right = await fleet.worker()
    fleet.open()
    assert await drained.end() == 0
    await fleet.finished(runs)
    rescued = [pid for outcome, _, pid in fleet.outcomes(runs, "hold") if outcome == "hand_back"]
    assert sorted(rescued) == sorted(str(worker.pid) for worker in killed for _ in range(EACH)), "each once"
    assert await right.end() == 0
    return early, fleet.states(runs).count("running")


async def test_a_wrong_clock_changes_no_lease(fleet: Fleet, figures: Figures, many) -> None:
    rounds = many(1, 10)
    counts = [await early_and_stuck(fleet) for _ in range(rounds)]
    early, stuck = (sum(column) for column in zip(*counts, strict=True))
    assert (early, stuck) == (0, 0)
    figures.note("F22", n=rounds * EACH * len(CLOCKS), early=early, stuck=stuck)
