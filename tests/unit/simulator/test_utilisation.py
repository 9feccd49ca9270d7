"""What was used of a limit, against a clock the test moves."""

from typing import Any

import pytest

from agentfleet.simulator.buckets import INPUT, Buckets
from agentfleet.simulator.config import Limits, Ramp, SimulatorConfig
from agentfleet.simulator.errors import ApiError
from agentfleet.simulator.utilisation import utilisation

SCOPE = ("org", "group")
START = 1_800_000_000.0


def buckets(burst_seconds: float = 60, **limits: Any) -> Buckets:
    return Buckets(SimulatorConfig(limits=Limits(**limits), burst_seconds=burst_seconds))


def row(made: Buckets, since: float, until: float, bucket: str = "requests") -> Any:
    [pool] = utilisation(made, since, until)["pools"]
    return pool["buckets"][bucket]


def test_share_is_what_was_taken_of_the_refill_of_the_window() -> None:
    made = buckets(requests_per_minute=60)
    for second in range(60):
        made.admit(SCOPE, 0, START + second)
    assert row(made, START, START + 60)["share"] == 1
    assert row(made, START + 30, START + 60)["used"] == 30
    assert row(made, START, START + 120)["share"] == 0.5


@pytest.mark.parametrize(("since", "until"), [(0, 100), (20, 80), (55, 100)])
def test_nothing_is_lost_between_the_figures_of_a_window(since: float, until: float) -> None:
    made = buckets(burst_seconds=10, input_tokens_per_minute=6000)
    for second, tokens in ((0, 900), (5, 300), (40, 1000), (41, 50), (70, 600)):
        made.admit(SCOPE, tokens, START + second)
    figures = row(made, START + since, START + until, "input_tokens")
    made.pool(SCOPE, START + 100)
    left = figures["at_start"] + figures["allowed"] - figures["used"] - figures["spilled"]
    assert left == pytest.approx(figures["at_end"])
    assert figures["spilled"] > 0


def test_a_look_back_says_the_same_as_a_look_at_the_time() -> None:
    made = buckets(burst_seconds=10, input_tokens_per_minute=6000)
    made.admit(SCOPE, 800, START)
    made.admit(SCOPE, 500, START + 10)
    at_the_time = row(made, START, START + 12, "input_tokens")
    made.admit(SCOPE, 700, START + 20)
    made.pool(SCOPE, START + 90)
    later = row(made, START, START + 12, "input_tokens")
    assert later == pytest.approx(at_the_time)


def test_a_changed_limit_counts_from_when_it_changed() -> None:
    made = buckets(requests_per_minute=60)
    made.admit(SCOPE, 0, START)
    made.config = SimulatorConfig(limits=Limits(requests_per_minute=600))
    made.pool(SCOPE, START + 30)
    assert row(made, START, START + 60)["allowed"] == 30 + 300


def test_output_and_refusals_are_in_the_row_and_the_scarcest_bucket_is_named() -> None:
    made = buckets(requests_per_minute=60, output_tokens_per_minute=600, ramp=Ramp(start=0.1))
    made.admit(SCOPE, 0, START)
    made.produce(SCOPE, 700, START)
    for _ in range(2):
        with pytest.raises(ApiError):
            made.admit(SCOPE, 0, START + 1)
    made.admit(SCOPE, 0, START + 30)
    with pytest.raises(ApiError):
        made.admit(SCOPE, 0, START + 31)
    [pool] = utilisation(made, START, START + 60)["pools"]
    assert pool["buckets"]["output_tokens"]["used"] == 700
    assert (pool["binding"], pool["rate_limited"], pool["ramp_limited"]) == ("output_tokens", 2, 1)


def test_a_pool_made_after_the_window_is_not_in_it_and_a_younger_one_is_cut_to_its_age() -> None:
    made = buckets(requests_per_minute=60)
    made.admit(SCOPE, 0, START)
    assert utilisation(made, START - 60, START)["pools"] == []
    [pool] = utilisation(made, START - 60, START + 30)["pools"]
    assert (pool["seconds"], pool["buckets"]["requests"]["allowed"]) == (30, 30)


def test_cache_reads_are_taken_where_they_count() -> None:
    for counted, taken in ((True, 900), (False, 100)):
        made = buckets(cache_reads_count=counted)
        assert made.admit(SCOPE, 100, START, cache_reads=800)[INPUT] == taken


def test_a_raised_limit_leaves_what_was_left_and_a_lowered_one_caps_it() -> None:
    made = buckets(requests_per_minute=60)
    for _ in range(50):
        made.admit(SCOPE, 0, START)
    made.config = SimulatorConfig(limits=Limits(requests_per_minute=600))
    assert made.pool(SCOPE, START).buckets["requests"].level == 10
    made.config = SimulatorConfig(limits=Limits(requests_per_minute=5))
    assert made.pool(SCOPE, START).buckets["requests"].level == 5
