"""Gates: who is kept out, for how long, and who is let through to look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain import admission as model
from agentfleet.domain.admission import NOTHING, Gate, Pace
from tests.unit.domain.line import SMALL, Line


@given(asked=st.lists(st.floats(0.01, 7), min_size=20, max_size=60))
def test_of_an_overloaded_model_exactly_one_call_per_period_looks(asked):
    line = Line(Pace(probe=10)).full()
    line.overloaded(model.FAILURES_TO_SHUT)
    shut, passed = line.now, []
    for pause in asked:
        line.now += pause
        served = (10.0, 10.0, 10.0)
        found = line.ask(SMALL, SMALL, served=served)
        passed += [line.now] * found.count
        assert found.waits[-1] > 0
    assert all(later - earlier >= 10 for earlier, later in zip([shut, *passed], passed, strict=False))
    assert len(passed) >= int((line.now - shut) // 17), "and one does, as soon as somebody asks"


def test_fewer_failures_in_a_row_slow_down_and_shut_nothing():
    line = Line().full()
    line.overloaded(2)
    assert line.ask(SMALL).count == 1
    assert model.share(line.bucket, line.now) == pytest.approx(model.SLOWER**2)
    line.succeeded(line.now)
    line.overloaded(2)
    assert line.bucket.gate.wait(line.now) == 0, "two, and two more, are not three in a row"


def test_a_success_opens_the_gate_and_use_grows_slowly_again():
    line = Line().full()
    line.overloaded(3)
    line.now += line.pace.probe
    assert line.ask(SMALL, SMALL).count == 1
    line.succeeded(begun=line.now)
    assert line.bucket.gate == Gate()
    assert model.share(line.bucket, line.now) == line.pace.ramp_start
    line.now += line.pace.ramp
    assert model.share(line.bucket, line.now) == 1.0


def test_the_success_of_a_call_that_was_under_way_opens_nothing():
    line = Line().full()
    line.now, begun = 5.0, 1.0
    line.overloaded(3)
    line.account.probe(300, line.now)
    line.now += 1
    line.succeeded(begun)
    assert line.bucket.gate.wait(line.now) > 0
    assert line.account.wait(line.now) > 0


@given(
    seconds=st.floats(0.1, 100),
    events=st.lists(st.tuples(st.floats(0, 30), st.sampled_from(["overloaded", "succeeded", "limited", "look"]))),
)
def test_no_call_is_made_before_the_retry_after(seconds, events):
    line = Line().full()
    model.limited(line.bucket, seconds, line.pace, line.now)
    until = seconds
    for later, what in events:
        line.now += later
        match what:
            case "overloaded":
                line.overloaded()
            case "succeeded":
                line.succeeded(begun=line.now)
            case "limited":
                model.limited(line.bucket, 1.0, line.pace, line.now)
                until = max(until, line.now + 1.0)
            case _:
                assert not (line.ask(served=NOTHING).count and line.now < until)


def test_growth_that_was_too_fast_halves_the_pace_and_makes_it_grow_half_as_fast():
    line = Line(Pace(ramp=20)).full()
    model.limited(line.bucket, 10, line.pace, line.now, growth=True)
    line.now += 10
    assert model.share(line.bucket, line.now) == pytest.approx(0.5)
    line.now += 20
    assert model.share(line.bucket, line.now) == pytest.approx(0.75)
    for _ in range(10):
        model.limited(line.bucket, 0, line.pace, line.now, growth=True)
    assert line.bucket.ramp_for == model.LONGEST_RAMP
    assert model.share(line.bucket, line.now) == pytest.approx(model.SLOWEST)


def test_a_parked_account_shuts_all_its_buckets_but_for_one_call_now_and_then():
    line, other = Line().full(), Line().full()
    other.account = line.account
    line.account.probe(300, 0.0)
    assert line.ask().count == other.ask().count == 0
    line.now = other.now = 300.0
    assert line.ask().count + other.ask().count == 1
    line.now = other.now = 301.0
    line.succeeded(begun=300.0)
    other.now += other.pace.turn
    assert other.ask().count == 1
