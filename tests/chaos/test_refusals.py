"""A provider that refuses: nobody calls before he may, nothing is lost, and waiting costs no attempt."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from agentfleet.simulator.armed import Order
from agentfleet.simulator.log import Entry
from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, until
from tests.chaos.figures import Figures
from tests.chaos.test_provider import LONG, known
from tests.integration.simulator.talk import control

UNDER_WAY = 1.0
"""Seconds in which calls may still arrive that were sent before the refusal was known."""
EARLY = 0.9
"""Share of an interval before whose end a call is too early: clocks and sockets take their time."""
GROUP = "haiku-4.5"


def calls(fleet: Fleet, since: float = 0) -> list[Entry]:
    """Model calls from ``since`` on, on the simulator's clock, in the order of their arrival."""
    return [entry for entry in fleet.ground.simulator.simulator.log.entries if entry.at >= since]


def arm(fleet: Fleet, fault: str, **how: Any) -> None:
    fleet.ground.simulator.simulator.faults.arm(Order(fault=fault, **how))


def lift(fleet: Fleet) -> None:
    fleet.ground.simulator.simulator.faults.armed.clear()


def spent(fleet: Fleet) -> int:
    """Attempts that were spent on anything but success."""
    return fleet.query("SELECT count(*) FROM attempts WHERE outcome NOT IN ('succeed', 'snooze', 'hand_back')")[0][0]


async def looks(fleet: Fleet, count: int, since: float, interval: float) -> list[Entry]:
    """The first ``count`` calls from ``since`` on; without a breaker they would all come at once."""
    for number in range(1, count + 1):
        await until(lambda n=number: len(calls(fleet, since)) >= n, f"the fleet looks for the {number}. time")
    seen = calls(fleet, since)[:count]
    assert seen[-1].at - seen[0].at > interval * (count - 1) / 2
    return seen


def crowded(seen: Sequence[Entry], interval: float) -> int:
    """How many came sooner after the one before than ``interval``."""
    return sum(later.at - earlier.at < EARLY * interval for earlier, later in pairwise(seen))


async def refuse(fleet: Fleet, runs: int, *faults: tuple[str, float]) -> tuple[list[str], float]:
    """Let everything be refused from now on; the runs that have met it, and a time when nobody calls any more."""
    for fault, probability in faults:
        arm(fleet, fault, probability=probability)
    met = await fleet.submit(agents.notes, runs)
    await until(lambda: set(fleet.states(met)) == {"waiting"}, "everybody is refused")
    return met, fleet.ground.simulator.simulator.clock()


async def test_nobody_calls_before_retry_after(fleet: Fleet, figures: Figures, many) -> None:
    runs, waves = 40, many(1, 25)
    for _ in range(2):
        await fleet.worker(**LONG)
    await known(fleet)
    for _ in range(waves):
        arm(fleet, "rate_limited", times=3)
        await fleet.finished(await fleet.submit(agents.notes, runs))
    found = fleet.ground.simulator.simulator.log.early(grace=0.05)
    early = sum(call["since_refusal"] > UNDER_WAY for call in found)
    refused = Counter(entry.status for entry in calls(fleet))[429]
    assert refused == 3 * waves
    assert (early, spent(fleet)) == (0, 0)
    figures.note("F26", n=refused, early=early, attempts_spent=spent(fleet))


async def test_a_storm_of_429s_becomes_a_steady_stream(fleet: Fleet, figures: Figures, many) -> None:
    a_minute, workers, warm_up, window = many((1_200, 2, 2, 2), (3_000, 4, 60, 60))
    burst = {"burst_seconds": 5, "limits_by_group": {GROUP: {"requests_per_minute": a_minute}}}
    await control(fleet.ground.simulator, "PATCH", "config", burst)
    for _ in range(workers):
        await fleet.worker(**LONG, provider_ramp=many(0.5, 20))
    await known(fleet)
    clock = fleet.ground.simulator.simulator.clock
    before = clock()
    storm = await fleet.submit(agents.chat, round(a_minute / 60 * (warm_up + window) * 1.3) + 50)
    await until(lambda: calls(fleet, before), "the first call")
    since = calls(fleet, before)[0].at + warm_up
    for second in range(1, warm_up + window + 1):
        await until(lambda s=second: clock() >= since - warm_up + s, "the window is over")
    report = await control(fleet.ground.simulator, "GET", "utilisation", since=since, until=since + window)
    [used] = report.json()["pools"]
    made = [entry for entry in calls(fleet, since) if entry.at < since + window]
    assert made
    refused = sum(entry.status == 429 for entry in made) / len(made)
    unused = 1 - used["buckets"]["requests"]["share"]
    plenty = {"limits_by_group": {GROUP: {"requests_per_minute": 5 * a_minute}}}
    await control(fleet.ground.simulator, "PATCH", "config", plenty)
    await fleet.finished(storm)
    tried = spent(fleet)
    assert tried == 0
    figures.note(
        "F27", n=len(made), unused_share=round(unused, 3), refused_share=round(refused, 4), attempts_spent=tried
    )


async def test_a_spend_cap_is_looked_at_once_per_interval(fleet: Fleet, figures: Figures, many) -> None:
    count, probe, probes = many((20, 0.7, 3), (200, 20, 6))
    await fleet.worker(**LONG, provider_probe=probe)
    await known(fleet)
    runs, since = await refuse(fleet, count, ("enforced_spend_limit_reached", 1))
    seen = await looks(fleet, probes, since, probe)
    assert set(fleet.states(runs)) <= {"waiting", "running"}
    lift(fleet)
    await fleet.finished(runs)
    assert spent(fleet) == 0
    figures.note("F28", n=probes, crowded=crowded(seen, probe), attempts_spent=spent(fleet))


async def test_an_overloaded_model_is_looked_at_once_per_interval(fleet: Fleet, figures: Figures, many) -> None:
    count, probe, probes = many((20, 0.7, 3), (200, 10, 60))
    await fleet.worker(**LONG, provider_overload_probe=probe)
    await known(fleet)
    runs, since = await refuse(fleet, count, ("overloaded", 0.5), ("unavailable", 1))
    seen = await looks(fleet, probes, since, probe)
    lift(fleet)
    await fleet.finished(runs)
    assert spent(fleet) == 0
    figures.note("F29", n=probes, crowded=crowded(seen, probe), attempts_spent=spent(fleet))


async def test_what_cannot_be_accepted_is_asked_once(fleet: Fleet, figures: Figures, many) -> None:
    count, probe = many((3, 0.7), (100, 10))
    await fleet.worker(**LONG, provider_probe=probe)
    await known(fleet)
    repeated = 0
    for fault, state, words in (
        ("prompt_too_long", "needs_review", "begin again with less"),
        ("request_too_large", "needs_review", "begin again with less"),
        ("model_not_found", "needs_review", "give the agent another model"),
        ("invalid_request", "needs_review", "messages: Field required"),
        ("context_window_exceeded", "failed", "begin again with less"),
    ):
        since = fleet.ground.simulator.simulator.clock()
        arm(fleet, fault, times=count)
        runs = await fleet.submit(agents.notes, count)
        await fleet.finished(runs, state)
        repeated += len(calls(fleet, since)) - count
        errors = fleet.query("SELECT error FROM runs WHERE id = ANY(%s::uuid[])", runs)
        assert all(words in error for (error,) in errors), errors
    closed, since = await refuse(fleet, count, ("unauthorized", 1))
    seen = await looks(fleet, 2, since, probe)
    lift(fleet)
    await fleet.finished(closed)
    assert repeated == 0
    figures.note("F30", n=count * 6, repeated=repeated, crowded=crowded(seen, probe))
