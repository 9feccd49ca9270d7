"""How many workers a pool should have: as many as its work can use and the provider answer."""

from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.scaling import Load, Ramp, ScalePolicy, ScaleState, decide, work_slots

FREE = Ramp(up_workers=10_000, down_share=1.0, stabilise=0.0, tolerance=0.0)
counts = st.integers(0, 5_000)
loads = st.builds(
    Load,
    ready=counts,
    running=counts,
    due=counts,
    arrivals=st.floats(0, 200),
    step_seconds=st.floats(0.01, 600),
    oldest_ready=st.floats(0, 600),
    forecast=st.floats(0, 200),
    provider_slots=st.none() | st.floats(0, 5_000),
)
policies = st.builds(
    ScalePolicy,
    concurrency=st.integers(1, 200),
    min_workers=st.integers(0, 10),
    max_workers=st.integers(10, 100),
    headroom=st.floats(0, 1),
    drain_target=st.floats(1, 600),
    ramp=st.just(FREE) | st.builds(Ramp, up_factor=st.floats(1, 4), tolerance=st.floats(0, 0.2)),
)
more = st.fixed_dictionaries({"ready": counts, "due": counts, "running": counts, "arrivals": st.floats(0, 100)})


def run(policy: ScalePolicy, *loads: Load, every: float = 15.0) -> list[int]:
    """The workers that are decided on, one load after the other."""
    state, sizes = ScaleState(), []
    for turn, load in enumerate(loads):
        decision = decide(load, policy, state, turn * every)
        state = decision.state
        sizes.append(decision.workers)
    return sizes


@given(before=st.lists(loads, max_size=4), load=loads, added=more, policy=policies)
def test_more_work_never_means_fewer_workers(before, load, added, policy):
    state = ScaleState()
    for turn, earlier in enumerate(before):
        state = decide(earlier, policy, state, turn * 15.0).state
    larger = replace(load, **{name: getattr(load, name) + count for name, count in added.items()})
    few, many = (decide(each, policy, state, 100.0) for each in (load, larger))
    assert few.workers <= many.workers
    assert few.demand <= many.demand


@given(load=loads, longer=st.floats(0, 600), policy=policies)
def test_older_work_and_more_that_is_expected_never_mean_fewer_workers(load, longer, policy):
    older = replace(load, oldest_ready=load.oldest_ready + longer, forecast=load.forecast + longer)
    assert work_slots(load, policy) <= work_slots(older, policy)


@given(path=st.lists(loads, min_size=1, max_size=8), policy=policies)
def test_no_decision_is_above_the_maximum_below_the_minimum_or_below_what_runs(path, policy):
    for load, workers in zip(path, run(policy, *path), strict=True):
        assert policy.min_workers <= workers <= policy.max_workers
        assert workers >= min(ceil(load.running / policy.concurrency), policy.max_workers)


@given(path=st.lists(loads, min_size=1, max_size=8), policy=policies, limit=st.floats(0, 2_000))
def test_no_decision_is_above_what_the_provider_can_answer(path, policy, limit):
    path = [replace(load, running=0) for load in path] + [replace(path[-1], running=0, provider_slots=limit)]
    assert run(policy, *path)[-1] <= max(policy.min_workers, ceil(limit / policy.concurrency), 1)


@given(path=st.lists(loads, min_size=2, max_size=30), every=st.floats(1, 60), policy=policies)
def test_a_size_changes_no_faster_than_its_ramp_allows(path, every, policy):
    path = [replace(load, running=0, provider_slots=None) for load in path]
    sizes, ramp = run(policy, *path, every=every), policy.ramp
    for now, size in enumerate(sizes):
        before = [past for turn, past in enumerate(sizes[:now]) if (now - turn) * every < ramp.up_every]
        if before:
            assert size <= max(ramp.up_factor * min(before), min(before) + ramp.up_workers, policy.min_workers)
        before = [past for turn, past in enumerate(sizes[:now]) if (now - turn) * every < ramp.down_every]
        if before:
            assert size >= max(before) - max(ramp.down_share * max(before), 1)


@settings(max_examples=30)
@given(path=st.lists(loads, max_size=5), load=loads, policy=policies, every=st.floats(1, 120))
def test_constant_load_changes_direction_never_and_ends_at_rest(path, load, policy, every):
    sizes = run(policy, *path, *[load] * 400, every=every)[len(path) :]
    steps = [after - before for before, after in pairwise(sizes)]
    assert not (any(step > 0 for step in steps) and any(step < 0 for step in steps))
    assume(every > 30 and policy.ramp.up_factor > 1.1)
    assert len(set(sizes[-20:])) == 1


def test_slots_follow_littles_law():
    policy = ScalePolicy(concurrency=16, max_workers=100, ramp=FREE)
    decision = decide(Load(ready=0, running=0, arrivals=20, step_seconds=8), policy, ScaleState(), 0)
    assert (decision.slots, decision.workers, decision.binding) == (pytest.approx(224), 14, "work")


def test_what_the_provider_cannot_answer_starts_no_worker_and_is_said():
    policy = ScalePolicy(concurrency=16, max_workers=100, ramp=FREE)
    load = Load(ready=0, running=0, arrivals=20, step_seconds=8, provider_slots=40)
    decision = decide(load, policy, ScaleState(), 0)
    assert (decision.slots, decision.workers, decision.binding) == (40, 3, "provider")
    assert decision.reason == "The work could use 224 slots, the provider can answer 40."


def test_a_waiting_step_uses_one_slot_at_most():
    assert work_slots(Load(ready=3, running=0, step_seconds=600), ScalePolicy(1, headroom=0)) == 3


def test_a_load_that_has_grown_at_once_is_seen_in_what_runs():
    """All 1,000 slots run and the queue grows, while the smoothed rate still tells of less than half of it."""
    load = Load(ready=300, running=1_000, arrivals=75, step_seconds=6.5, oldest_ready=7)
    assert work_slots(load, ScalePolicy(500, headroom=0.4)) > 1_400


def test_a_backlog_that_has_waited_is_drained_in_the_rest_of_its_time():
    policy = ScalePolicy(1, headroom=0, drain_target=40)
    young, old = (work_slots(Load(100, 0, step_seconds=4, oldest_ready=age), policy) for age in (0, 20))
    assert (young, old) == (10, 20)


@pytest.mark.parametrize(
    ("load", "workers", "binding"),
    [
        (Load(0, 0), 2, "min"),
        (Load(9_000, 0), 5, "max"),
        (Load(9_000, 0, provider_slots=0), 2, "provider"),
        (Load(0, 0, forecast=3), 5, "work"),
        (Load(0, 45, provider_slots=10), 5, "provider"),
    ],
)
def test_a_decision_names_what_binds(load, workers, binding):
    decision = decide(load, ScalePolicy(10, min_workers=2, max_workers=5, ramp=FREE), ScaleState(), 0)
    assert (decision.workers, decision.binding) == (workers, binding)


def test_a_provider_that_answers_nothing_leaves_one_worker_to_find_out_when_it_does_again():
    assert run(ScalePolicy(10, min_workers=0), Load(ready=50, running=0, provider_slots=0)) == [1]


def test_work_that_has_ended_takes_its_workers_along_slowly_and_late():
    policy = ScalePolicy(1, max_workers=40, headroom=0)
    sizes = run(policy, *[Load(ready=0, running=40)] * 2, *[Load(0, 0)] * 40, every=30)
    assert sizes[:11] == [40] * 11
    assert sizes[12:20:2] == [36, 33, 30, 27]


def test_a_change_by_less_than_a_tenth_is_none_unless_it_reaches_a_limit():
    policy = ScalePolicy(1, max_workers=42, headroom=0, ramp=replace(FREE, tolerance=0.1))
    calm = [Load(ready=0, running=0, arrivals=slots, step_seconds=1) for slots in (40, 41, 37, 44, 42, 35)]
    assert run(policy, *calm) == [40, 40, 40, 42, 42, 35]


def test_what_runs_is_kept_at_once_however_slow_the_ramp():
    policy = ScalePolicy(1, max_workers=60, ramp=Ramp(up_workers=1, up_factor=1))
    assert run(policy, Load(ready=50, running=0), Load(0, running=50), Load(0, 0, provider_slots=5), every=1) == [
        2,
        50,
        5,
    ]


@pytest.mark.parametrize(
    "wrong", [{"concurrency": 0}, {"min_workers": 11}, {"max_workers": 0, "min_workers": 0}, {"drain_target": 0}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(InvalidInput):
        ScalePolicy(**{"concurrency": 1, **wrong})
