"""A provider that hangs: silence is cut off by the longest silence allowed, a trickle by the longest call allowed."""

from typing import Any

from agentfleet.simulator.armed import Match, Order
from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, until
from tests.chaos.figures import Figures

SILENCES = ("stall_before_headers", "stall_after_headers", "stream_stall")
READ_TIMEOUT, REASON_TIMEOUT, LEASE = 1.0, 3.0, 1.0


async def attempts(fleet: Fleet, runs: list[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Outcome, verdict, error and length in seconds of every first model call, by run, in order."""
    rows = fleet.query(
        "SELECT s.run_id::text, a.outcome, a.verdict, a.error, extract(epoch FROM a.finished_at - a.claimed_at)::float8"
        " FROM attempts a JOIN steps s ON s.id = a.step_id"
        " WHERE s.run_id = ANY(%s::uuid[]) AND s.turn = 1 ORDER BY a.step_id, a.fence",
        runs,
    )
    found: dict[str, list[tuple[Any, ...]]] = {}
    for run, *attempt in rows:
        found.setdefault(run, []).append(tuple(attempt))
    return found


async def cut_off(fleet: Fleet, figures: Figures, fault: str, count: int, limit: float, words: str) -> list[float]:
    """Runs whose first model call meets ``fault``: each is cut off once, then succeeds. By how much each was off.

    That call asks for two tools, which is long enough for half a dozen events.
    """
    fleet.ground.simulator.simulator.faults.arm(Order(fault=fault, times=count, match=Match(turn=0)))
    runs = await fleet.submit(agents.notes, count)
    await fleet.finished(runs)
    off: list[float] = []
    for run, tries in (await attempts(fleet, runs)).items():
        assert [(outcome, verdict) for outcome, verdict, _, _ in tries] == [("retry", "backoff"), ("succeed", None)], (
            run
        )
        _, _, error, length = tries[0]
        assert words in error
        figures.took(length)
        off.append(abs(length - limit))
    assert len(off) == count
    return off


async def test_a_silent_provider_is_cut_off(fleet: Fleet, figures: Figures, many) -> None:
    count = many(3, 100)
    await fleet.worker(provider_read_timeout=READ_TIMEOUT, reason_timeout=600)
    off = [await cut_off(fleet, figures, fault, count, READ_TIMEOUT, "the connection broke") for fault in SILENCES]
    asked = [entry.fault for entry in fleet.ground.simulator.simulator.log.entries]
    assert {fault: asked.count(fault) for fault in SILENCES} == dict.fromkeys(SILENCES, count)
    figures.note("F23", n=count * len(SILENCES), off_by_s=round(max(map(max, off)), 3))


async def test_a_dripping_provider_is_cut_at_its_deadline(fleet: Fleet, figures: Figures, many) -> None:
    count = many(3, 200)
    settings = {"lease": LEASE, "heartbeat": 0.25, "reason_timeout": REASON_TIMEOUT, "provider_read_timeout": 600}
    worker = await fleet.worker(**settings)
    off = await cut_off(fleet, figures, "stream_drip", count, REASON_TIMEOUT, "the model call took longer than 3 s")
    lost = len(worker.logs("lease_lost")) + len(worker.logs("result_dropped"))
    assert lost == 0, "heartbeats keep the lease for as long as the call takes"
    figures.note("F24", n=count, leases_lost=lost, off_by_s=round(max(off), 3))


async def test_a_silent_provider_holds_up_nobody_else(fleet: Fleet) -> None:
    hung = fleet.ground.simulator.simulator.faults.arm(Order(fault="stall_after_headers", times=1))
    await fleet.worker(provider_read_timeout=600)
    [waiting] = await fleet.submit(agents.chat)
    await until(lambda: hung.spent, "a model call hangs")
    others = await fleet.submit(agents.notes, 3)
    await fleet.finished(others)
    assert fleet.states([waiting]) == ["running"]
