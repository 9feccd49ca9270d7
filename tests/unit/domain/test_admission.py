"""Admission as arithmetic: what may be taken in any window, who waits, who is let through to look."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfleet.domain import admission as model
from agentfleet.domain.admission import NOTHING, UNLIMITED, Admitted, Axes, Bucket, Gate, Heard, Pace

LIMITS: Axes = (60.0, 60_000.0, 12_000.0)
SMALL: Axes = (1.0, 1.0, 1.0)

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


@dataclass
class Line:
    """One bucket, its account's gate and a clock."""

    pace: Pace = field(default_factory=lambda: Pace(burst=5, ramp=20))
    limits: Axes = LIMITS
    now: float = 0.0
    account: Gate = field(default_factory=Gate)

    def __post_init__(self) -> None:
        self.bucket: Bucket = model.new_bucket(self.pace, self.now)
        model.listen(self.bucket, Heard(limits=self.limits), self.pace, self.now)

    def ask(self, *needs: Axes, served: Axes | None = None) -> Admitted:
        return model.admit(self.bucket, self.account, needs or [SMALL], self.pace, self.now, served=served)

    def overloaded(self, times: int = 1) -> None:
        for _ in range(times):
            model.overloaded(self.bucket, self.pace, self.now)

    def succeeded(self, begun: float) -> None:
        model.succeeded(self.bucket, self.account, self.pace, self.now, begun=begun)

    def full(self) -> "Line":
        """Used for long, and not for a moment just now: full, and not ramping."""
        self.bucket.ramp_from, self.bucket.levels = 1.0, capacity(self)
        return self


def capacity(line: Line) -> Axes:
    requests, inputs, outputs = (max(1.0, limit * line.pace.burst / 60) for limit in line.limits)
    return requests, inputs, outputs


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


@settings(max_examples=10)
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
    used, measured = 0.0, 100 * max(per_call, burst)
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
