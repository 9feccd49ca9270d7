"""Weighted fair queuing: who comes next, and that everybody does."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.fairness import FairQueue, dominant_share

tenants = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.25, 16), min_size=2, max_size=8)


def serve(queue: FairQueue[int], waiting: dict[str, list[tuple[int, float]]], weights: dict[str, float]) -> str:
    """Serve one turn; whose it was."""
    [turn] = queue.order(waiting, weights, most=1)
    queue.served([turn])
    waiting[turn.tenant].remove(next(one for one in waiting[turn.tenant] if one[0] == turn.item))
    return turn.tenant


@given(weights=tenants, costs=st.lists(st.floats(0.1, 3), min_size=1, max_size=7))
def test_what_tenants_get_is_as_their_weights(weights, costs):
    queue = FairQueue[int]()
    got, largest = Counter[str](), max(costs)
    backlog = {tenant: [(n, costs[n % len(costs)]) for n in range(4_000)] for tenant in weights}
    for _ in range(60):
        for turn in (turns := queue.order(backlog, weights, most=20)):
            got[turn.tenant] += backlog[turn.tenant][0][1]
            del backlog[turn.tenant][0]
        queue.served(turns)
    normal = {tenant: got[tenant] / weight for tenant, weight in weights.items()}
    slack = max(largest / weight for weight in weights.values()) * 2
    assert max(normal.values()) - min(normal.values()) <= slack + 1e-6


@given(weights=tenants, rounds=st.integers(1, 10))
def test_a_tenant_with_a_thousand_steps_does_not_hold_up_anothers_first(weights, rounds):
    queue, (first, *_) = FairQueue[int](), weights
    flood = [(n, 1.0) for n in range(1_000)]
    for _ in range(rounds):
        serve(queue, {first: flood}, weights)
    waiting = {first: flood, **{tenant: [(0, 1.0)] for tenant in weights if tenant != first}}
    ahead = [turn.tenant for turn in queue.order(waiting, weights, most=len(weights) + 40)]
    assert set(ahead) == set(weights), "nobody starves"
    for tenant in weights:
        assert ahead.index(tenant) <= len(weights) + weights[first] * 4


def test_who_was_away_does_not_catch_up():
    queue, weights = FairQueue[int](), {"a": 1.0, "b": 1.0}
    backlog = [(n, 1.0) for n in range(1_000)]
    for _ in range(100):
        serve(queue, {"a": backlog}, weights)
    both = {"a": backlog, "b": [(n, 1.0) for n in range(1_000)]}
    turns = Counter(turn.tenant for turn in queue.order(both, weights, most=20))
    assert abs(turns["a"] - turns["b"]) <= 1


def test_within_a_tenant_its_own_order_holds():
    queue = FairQueue[str]()
    turns = queue.order({"a": [("x", 9.0), ("y", 1.0), ("z", 5.0)]}, {}, most=3)
    assert [turn.item for turn in turns] == ["x", "y", "z"]


def test_what_was_ordered_and_not_served_is_ordered_again():
    queue, waiting = FairQueue[int](), {"a": [(1, 1.0), (2, 1.0)], "b": [(3, 1.0)]}
    first = queue.order(waiting, {}, most=3)
    assert queue.order(waiting, {}, most=3) == first
    queue.served(first[:1])
    assert queue.order({"a": [(2, 1.0)], "b": [(3, 1.0)]}, {}, most=3)[0].item == 3


def test_nothing_is_remembered_of_who_is_owed_nothing():
    queue = FairQueue[int]()
    for number in range(100):
        serve(queue, {f"tenant-{number}": [(0, 1.0)]}, {})
    for number in range(2):
        serve(queue, {"busy": [(number, 1.0)]}, {})
    assert set(queue._finished) == {"busy"}


def test_a_call_costs_the_largest_share_that_it_takes():
    assert dominant_share((1.0, 3_000.0, 100.0), (60.0, 60_000.0, 12_000.0)) == pytest.approx(0.05)
