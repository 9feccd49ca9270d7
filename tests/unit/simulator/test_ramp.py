"""Growth limits against a clock the test moves."""

import pytest

from agentfleet.simulator.buckets import Buckets
from agentfleet.simulator.config import Limits, Ramp, SimulatorConfig
from agentfleet.simulator.errors import ApiError

SCOPE = ("org", "group")
START = 1_800_000_000.0
RAMP = Ramp(seconds=10, factor=2, start=0.1)


def buckets(**limits: int) -> Buckets:
    return Buckets(SimulatorConfig(limits=Limits(ramp=RAMP, **limits)))


def admitted(made: Buckets, now: float, tokens: int = 0) -> int:
    for count in range(1000):
        try:
            made.admit(SCOPE, tokens, now)
        except ApiError as error:
            if error.error_code != "ramp_limit_exceeded":
                raise
            return count
    raise AssertionError("never refused")


def test_use_may_double_in_every_period_and_no_more() -> None:
    made = buckets(requests_per_minute=600)
    assert [admitted(made, START + 10 * period) for period in range(4)] == [10, 20, 40, 80]


def test_what_is_not_used_is_unlearned_down_to_the_start() -> None:
    made = buckets(requests_per_minute=600)
    for period in range(4):
        admitted(made, START + 10 * period)
    assert admitted(made, START + 50) == 80, "one idle period halves the 160 that were learned"
    assert admitted(made, START + 10_000) == 10


def test_a_refusal_says_when_the_period_ends_and_takes_nothing() -> None:
    made = buckets(requests_per_minute=600)
    admitted(made, START)
    with pytest.raises(ApiError) as raised:
        made.admit(SCOPE, 0, START + 3)
    assert (raised.value.status, raised.value.headers["retry-after"]) == (429, "7")
    assert admitted(made, START + 10) == 20


def test_tokens_ramp_as_well_and_the_first_call_of_a_period_always_passes() -> None:
    made = buckets(input_tokens_per_minute=6000)
    assert admitted(made, START, tokens=60) == 1
    assert admitted(made, START + 10, tokens=500) == 1


def test_an_empty_bucket_is_named_before_a_ramp() -> None:
    made = Buckets(SimulatorConfig(limits=Limits(requests_per_minute=60, ramp=RAMP), burst_seconds=1))
    made.admit(SCOPE, 0, START)
    with pytest.raises(ApiError, match="60 requests per minute"):
        made.admit(SCOPE, 0, START)
