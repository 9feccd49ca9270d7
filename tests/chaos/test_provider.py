"""A provider that hangs, drips or breaks off: every kind is cut off at its own limit, and what was half said is lost
without a trace but its price.
"""

from typing import Any

from agentfleet.simulator.armed import Match, Order
from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, until
from tests.chaos.figures import Figures

SILENCES = {
    "stall_before_headers": "no answer within {} s (AGENTFLEET_PROVIDER_FIRST_BYTE_TIMEOUT)",
    "stall_after_headers": "no byte for {} s (AGENTFLEET_PROVIDER_IDLE_TIMEOUT)",
    "stream_stall": "no byte for {} s (AGENTFLEET_PROVIDER_IDLE_TIMEOUT)",
}
BREAKS = ("stream_api_error", "stream_timeout", "stream_reset", "stream_truncated")
REASON_TIMEOUT, LEASE = 3.0, 1.0
LONG = {"lease": 30, "heartbeat": 1}
"""Where leases are not what it is about: a busy machine must not lose one."""
CUT_OFF_ONCE = [("retry", "backoff"), ("succeed", None)]


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


async def known(fleet: Fleet) -> None:
    """Let the fleet learn the provider's limits: it asks little of one that it does not know."""
    await fleet.finished(await fleet.submit(agents.chat))


async def struck(fleet: Fleet, fault: str, count: int) -> list[str]:
    """Runs whose first model call has met ``fault``, and that have succeeded.

    That call asks for two tools, which is long enough for half a dozen events.
    """
    fleet.ground.simulator.simulator.faults.arm(Order(fault=fault, times=count, match=Match(turn=0)))
    runs = await fleet.submit(agents.notes, count)
    await fleet.finished(runs)
    asked = [entry.fault for entry in fleet.ground.simulator.simulator.log.entries]
    assert asked.count(fault) == count
    return runs


async def cut_off(fleet: Fleet, figures: Figures, fault: str, count: int, limit: float, words: str) -> list[float]:
    """By how much the ends of ``count`` calls that met ``fault`` were off ``limit``: each was cut off once."""
    off: list[float] = []
    for run, tries in (await attempts(fleet, await struck(fleet, fault, count))).items():
        assert [(outcome, verdict) for outcome, verdict, _, _ in tries] == CUT_OFF_ONCE, run
        _, _, error, length = tries[0]
        assert words in error
        figures.took(length)
        off.append(abs(length - limit))
    assert len(off) == count
    return off


async def test_a_silent_provider_is_cut_off(fleet: Fleet, figures: Figures, many) -> None:
    count, limit = many(3, 100), many(1, 30)
    await fleet.worker(**LONG, provider_first_byte_timeout=limit, provider_idle_timeout=limit, reason_timeout=600)
    await known(fleet)
    off = [await cut_off(fleet, figures, fault, count, limit, words.format(limit)) for fault, words in SILENCES.items()]
    figures.note("F23", n=count * len(SILENCES), off_by_s=round(max(map(max, off)), 3))


async def test_a_dripping_provider_is_cut_at_its_deadline(fleet: Fleet, figures: Figures, many) -> None:
    count = many(3, 200)
    worker = await fleet.worker(lease=LEASE, heartbeat=0.25, reason_timeout=REASON_TIMEOUT, provider_idle_timeout=1)
    await known(fleet)
    words = f"the model call took longer than {REASON_TIMEOUT:g} s (AGENTFLEET_REASON_TIMEOUT)"
    off = await cut_off(fleet, figures, "stream_drip", count, REASON_TIMEOUT, words)
    lost = len(worker.logs("lease_lost")) + len(worker.logs("result_dropped"))
    assert lost == 0, "heartbeats keep the lease for as long as the call takes"
    figures.note("F24", n=count, leases_lost=lost, off_by_s=round(max(off), 3))


async def test_half_an_answer_leaves_nothing_but_its_price(fleet: Fleet, figures: Figures, many) -> None:
    count = many(3, 100)
    await fleet.worker(**LONG)
    await known(fleet)
    partial = 0
    for fault in BREAKS:
        runs = await struck(fleet, fault, count)
        for run, tries in (await attempts(fleet, runs)).items():
            assert [(outcome, verdict) for outcome, verdict, _, _ in tries] == CUT_OFF_ONCE, run
        partial += half_said(fleet, runs)
    cut = await struck(fleet, "max_tokens_in_tool", count)  # half a tool call, and the model is asked again
    for run, tries in (await attempts(fleet, cut)).items():
        assert [outcome for outcome, _, _, _ in tries] == ["succeed", "succeed"], run
    partial += half_said(fleet, cut)
    priced = fleet.query("SELECT count(*) FROM attempts WHERE concat(usage, error) LIKE '%%input_tokens%%'")[0][0]
    unpriced = sum(entry.paid for entry in fleet.ground.simulator.simulator.log.entries) - priced
    assert (partial, unpriced) == (0, 0)
    figures.note("F25", n=count * (len(BREAKS) + 1), partial=partial, unpriced=unpriced)


def half_said(fleet: Fleet, runs: list[str]) -> int:
    """First answers that are not there exactly once, and tools that were not called exactly once."""
    turns = fleet.query("SELECT run_id FROM messages WHERE turn = 1 AND run_id = ANY(%s::uuid[])", runs)
    called = [call[0] for tool in ("note_a", "note_b") for call in fleet.calls(tool)]
    return abs(len(turns) - len(runs)) + sum(abs(called.count(run) - 2) for run in runs)


async def test_a_silent_provider_holds_up_nobody_else(fleet: Fleet) -> None:
    hung = fleet.ground.simulator.simulator.faults.arm(Order(fault="stall_after_headers", times=1))
    await fleet.worker(provider_idle_timeout=600)
    [waiting] = await fleet.submit(agents.chat)
    await until(lambda: hung.spent, "a model call hangs")
    others = await fleet.submit(agents.notes, 3)
    await fleet.finished(others)
    assert fleet.states([waiting]) == ["running"]
