"""Token buckets against a clock the test moves."""

import pytest

from agentfleet.simulator.buckets import Buckets
from agentfleet.simulator.config import Limits, SimulatorConfig
from agentfleet.simulator.errors import ApiError

SCOPE = ("org", "group")
START = 1_800_000_000.0


def buckets(burst_seconds: float = 60, **limits: int) -> Buckets:
    return Buckets(SimulatorConfig(limits=Limits(**limits), burst_seconds=burst_seconds))


def shown(made: Buckets, now: float) -> dict[str, str]:
    return {
        name.decode().removeprefix("anthropic-ratelimit-"): value.decode() for name, value in made.headers(SCOPE, now)
    }


def test_a_bucket_refills_continuously() -> None:
    made = buckets(requests_per_minute=60)
    for _ in range(60):
        made.admit(SCOPE, 0, START)
    with pytest.raises(ApiError):
        made.admit(SCOPE, 0, START + 0.5)
    made.admit(SCOPE, 0, START + 1)


def test_retry_after_is_when_the_request_would_fit() -> None:
    made = buckets(input_tokens_per_minute=6000)
    made.admit(SCOPE, 6000, START)
    with pytest.raises(ApiError) as raised:
        made.admit(SCOPE, 1000, START)
    wait = int(raised.value.headers["retry-after"])
    assert wait == 10
    with pytest.raises(ApiError):
        made.admit(SCOPE, 1000, START + wait - 1)
    made.admit(SCOPE, 1000, START + wait)


def test_the_scarcest_bucket_decides_how_long() -> None:
    made = buckets(requests_per_minute=60, input_tokens_per_minute=60)
    made.admit(SCOPE, 60, START)
    with pytest.raises(ApiError, match="input tokens") as raised:
        made.admit(SCOPE, 30, START)
    assert raised.value.headers["retry-after"] == "30"


def test_output_runs_into_debt_and_blocks_until_it_is_paid() -> None:
    made = buckets(output_tokens_per_minute=60)
    made.admit(SCOPE, 0, START)
    made.produce(SCOPE, 90, START)
    with pytest.raises(ApiError, match="output tokens") as raised:
        made.admit(SCOPE, 0, START)
    assert raised.value.headers["retry-after"] == "31"
    made.admit(SCOPE, 0, START + 31)


def test_a_request_larger_than_the_bucket_needs_a_full_one() -> None:
    made = buckets(input_tokens_per_minute=100)
    made.admit(SCOPE, 5000, START)
    with pytest.raises(ApiError):
        made.admit(SCOPE, 1, START + 60)


def test_a_refused_request_takes_nothing() -> None:
    made = buckets(requests_per_minute=10, input_tokens_per_minute=100)
    made.admit(SCOPE, 100, START)
    before = shown(made, START)
    with pytest.raises(ApiError):
        made.admit(SCOPE, 50, START)
    assert shown(made, START) == before


def test_reset_means_full_again() -> None:
    made = buckets(requests_per_minute=60)
    for _ in range(30):
        made.admit(SCOPE, 0, START)
    assert shown(made, START)["requests-reset"] == "2027-01-15T08:00:30Z"
    assert shown(made, START)["requests-remaining"] == "30"


def test_tokens_left_are_rounded_to_thousands_and_never_negative() -> None:
    made = buckets(input_tokens_per_minute=10_000, output_tokens_per_minute=1000)
    made.admit(SCOPE, 2600, START)
    made.produce(SCOPE, 5000, START)
    headers = shown(made, START)
    assert (headers["input-tokens-remaining"], headers["output-tokens-remaining"]) == ("7000", "0")
    assert (headers["tokens-limit"], headers["tokens-remaining"]) == ("11000", "7000")


def test_a_short_burst_window_spreads_requests_out() -> None:
    made = buckets(burst_seconds=1, requests_per_minute=60)
    made.admit(SCOPE, 0, START)
    with pytest.raises(ApiError):
        made.admit(SCOPE, 0, START)
    made.admit(SCOPE, 0, START + 1)
