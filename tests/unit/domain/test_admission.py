"""Admission as arithmetic: what may be taken in any window, and who waits."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfleet.domain import admission as model
from agentfleet.domain.admission import NOTHING, UNLIMITED, Axes, Heard, Pace
from tests.unit.domain.line import LIMITS, SMALL, Line, capacity

paces = st.builds(
    Pace,
    burst=st.floats(0.5, 20),
    ramp_start=st.floats(0.05, 1),
    ramp=st.floats(1, 60),
    idle=st.floats(5, 100),
)
limits = st.tuples(st.floats(5, 3_000), st.floats(1_000, 1e6), st.floats(500, 2e5))
shares = st.floats(0, 1.5)
pauses = st.floats(0, 10) | st.floats(50, 200)


@given(
    pace=paces,
    limits=limits,
    moves=st.lists(st.tuples(pauses, st.integers(1, 6), shares, shares, st.floats(0, 1)), min_size=1, max_size=30),
)
def test_no_window_ever_admits_more_than_its_refill_and_one_bucket(pace, limits, moves):
    line, taken = Line(pace, limits), list[tuple[float, Axes]]()
    holds = capacity(line)
    for pause, count, inputs, outputs, used in moves:
        line.now += pause
        need = (1.0, inputs * holds[1], outputs * holds[2])  # up to half as large again as the bucket
        for _ in range(line.ask(*[need] * count).count):
            spent = (1.0, need[1] * used, need[2] * used)
            model.settle(line.bucket, need, spent, pace, line.now)
            taken.append((line.now, spent))
    debt = tuple(0.5 * amount for amount in holds)
    for first, (since, _) in enumerate(taken):
        total = NOTHING
        for until, spent in taken[first:]:
            total = model._plus(total, spent)
            for axis in range(3):
                assert total[axis] <= limits[axis] * (until - since) / 60 + holds[axis] + debt[axis] + 1e-6


@given(pace=paces, seconds=st.floats(0.1, 100))
def test_after_idleness_no_more_is_admitted_than_the_ramp_allows(pace, seconds):
    line = Line(replace(pace, burst=1.0), (3_000.0, 1e12, 1e12))
    line.now = 1_000.0
    admitted, began, step = 0, line.now, seconds / 50
    for number in range(51):
        line.now = began + number * step
        admitted += line.ask(*[SMALL] * 51, served=(1e6, 1e6, 1e6)).count
    ramped = min(seconds, pace.ramp)
    share = pace.ramp_start + (1 - pace.ramp_start) * ramped / pace.ramp / 2
    assert admitted <= 50 * (ramped * share + max(seconds - pace.ramp, 0.0)) + 50 + 1e-6


@settings(max_examples=6)
@given(
    limits=limits,
    size=st.tuples(st.floats(0.05, 3), st.floats(0.05, 3)),
    burst=st.floats(2, 20),
)
def test_with_demand_nearly_all_of_the_refill_is_used(limits, size, burst):
    """The servant of a queue comes when it is told that there may be room, and at least every second."""
    line = Line(Pace(burst=burst, ramp=20), limits)
    holds = capacity(line)
    need = (1.0, size[0] * holds[1], size[1] * holds[2])
    binding = max(range(3), key=lambda axis: need[axis] / limits[axis])
    per_call = need[binding] * 60 / limits[binding]
    queue = (1e6, 1e9, 1e9)
    used, measured = 0.0, 60 * max(per_call, burst)
    while line.now < 60 + measured:
        found = line.ask(*[need] * 21, served=queue)
        if line.now >= 60:
            used += found.count * need[binding]
        line.now += min(max(found.waits[0], 0.02), 1.0)
    assert used >= 0.97 * limits[binding] / 60 * measured


def test_a_debt_of_minutes_is_no_idleness():
    line = Line(Pace(idle=60)).full()
    huge = (1.0, 5 * LIMITS[1], 1.0)
    assert line.ask(huge).count == 1, "larger than the bucket: it needs a full one"
    line.now += 250
    assert line.ask(huge, served=SMALL).waits[0] == pytest.approx(50, rel=0.01), "and five minutes' refill, not more"


def test_what_is_larger_than_the_bucket_gets_through_and_only_one_of_them():
    line = Line().full()
    huge = (1.0, 10 * capacity(line)[1], 1.0)
    found = line.ask(huge, huge)
    assert found.count == 1
    assert found.waits[0] == pytest.approx(50, rel=0.01)


def test_who_finds_no_room_is_told_when_there_will_be():
    line = Line().full()
    need = (1.0, 5_000.0, 1.0)
    assert line.ask(need, need).waits == (pytest.approx(5.0),)
    line.now += 5.0
    assert line.ask(need, served=need).count == 1


def test_the_head_of_the_line_is_served_in_order():
    line = Line().full()
    found = line.ask((1.0, 4_000.0, 1.0), (1.0, 3_000.0, 1.0), SMALL)
    assert found.count == 1, "the third would fit, but is not the second's turn"
    assert list(found.waits) == sorted(found.waits)


def test_nobody_new_overtakes_while_a_queue_is_served():
    line = Line().full()
    head, waiting = (1.0, 5_000.0, 1.0), (1.0, 5_000.0, 1.0)
    line.ask(head)
    for _ in range(100):
        line.now += 1.0
        served = line.ask(waiting, served=waiting)
        if served.count:
            break
        assert line.ask(SMALL).count == 0
    line.now += 0.1
    assert line.ask(SMALL).count == 1, "nobody waits any more"


@given(since=st.floats(0, 10))
def test_a_dead_servant_keeps_newcomers_away_for_one_turn(since):
    line = Line().full()
    line.ask(SMALL, served=(5.0, 100.0, 100.0))
    line.now += since
    newcomer = (1.0, 4_000.0, 500.0)  # there is room for all
    assert line.ask(newcomer).count == int(since >= line.pace.turn)


def test_newcomers_do_not_renew_the_turn_of_a_queue_that_nobody_serves():
    line = Line().full()
    line.ask((1.0, 5_000.0, 1.0), (1.0, 5_000.0, 1.0))
    waited = 0.0
    while not line.ask(SMALL).count:
        line.now += 0.5
        waited += 0.5
    assert waited <= line.pace.turn


def test_an_answer_without_limits_lifts_what_was_assumed_and_nothing_that_was_told():
    bucket = model.new_bucket(Pace(), 0.0)
    model.listen(bucket, Heard(), Pace(), 0.0)
    assert bucket.limits == UNLIMITED
    model.listen(bucket, Heard(limits=LIMITS), Pace(), 0.0)
    model.listen(bucket, Heard(), Pace(), 1.0)
    assert bucket.limits == LIMITS


def test_ones_own_caps_hold_whatever_the_provider_allows():
    pace = Pace(caps=(30.0, 1e12, 100.0))
    bucket = model.new_bucket(pace, 0.0)
    assert bucket.limits == (30.0, 60_000.0, 100.0)
    model.listen(bucket, Heard(limits=LIMITS), pace, 0.0)
    assert bucket.limits == (30.0, 60_000.0, 100.0)


def test_what_is_left_lowers_a_level_and_never_raises_it():
    line = Line().full()
    model.listen(line.bucket, Heard(remaining=(2.0, None, 1e9)), line.pace, line.now)
    assert line.bucket.levels == (2.0, *capacity(line)[1:])
    assert line.ask(SMALL, SMALL, SMALL).count == 2
