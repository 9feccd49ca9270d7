"""How many slots the provider's limits can keep busy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.provider_room import Calls, mean_seconds, provider_slots

NONE = Calls(None, 0, 0.0)
amounts = st.floats(1, 1e6)


def test_a_bucket_answers_as_many_calls_as_its_scarcest_limit():
    calls = {"opus": [Calls("m", 100, 800.0, 600_000, 50_000)]}
    assert provider_slots(calls, {"acme/opus": (4_000, 2_000_000, 400_000)}, NONE) == pytest.approx(2e6 / 60 / 6e3 * 8)


def test_the_buckets_of_several_accounts_and_groups_add_up():
    calls = {"opus": [Calls("m", 50, 50.0)], "haiku": [Calls("n", 50, 50.0)]}
    limits = dict.fromkeys(("acme/opus", "other/opus", "acme/haiku", "acme/sonnet"), (60.0, 1e9, 1e9))
    assert provider_slots(calls, limits, NONE) == pytest.approx(3)


def test_tool_calls_hold_slots_beside_the_model_calls_that_ask_for_them():
    calls = {"opus": [Calls("m", 10, 20.0)]}
    alone = provider_slots(calls, {"acme/opus": (60.0, 1e9, 1e9)}, NONE)
    with_tools = provider_slots(calls, {"acme/opus": (60.0, 1e9, 1e9)}, Calls(None, 30, 60.0))
    assert (alone, with_tools) == (pytest.approx(2), pytest.approx(8))


@pytest.mark.parametrize(
    "limits", [{}, {"acme/haiku": (1.0, 1.0, 1.0)}, {"acme/opus": None}, {"acme/opus": (1e12, 1e12, 1e12)}]
)
def test_without_a_limit_that_is_known_nothing_is_said(limits):
    assert provider_slots({"opus": [Calls("m", 1, 1.0)]}, limits, NONE) is None


def test_a_pool_that_calls_no_model_is_not_bound_by_any():
    assert provider_slots({}, {"acme/opus": (1.0, 1.0, 1.0)}, Calls(None, 10, 1.0)) is None


def test_a_parked_account_answers_nothing():
    assert provider_slots({"opus": [Calls("m", 1, 1.0)]}, {"acme/opus": (0.0, 0.0, 0.0)}, NONE) == 0


@given(limits=st.tuples(amounts, amounts, amounts), more=st.floats(1, 10), seconds=amounts, tokens=amounts)
def test_higher_limits_never_mean_fewer_slots(limits, more, seconds, tokens):
    calls = {"opus": [Calls("m", 10, seconds, tokens, tokens)]}
    low = provider_slots(calls, {"acme/opus": limits}, NONE)
    high = provider_slots(calls, {"acme/opus": tuple(limit * more for limit in limits)}, NONE)
    assert high is None or (low is not None and low <= high * 1.000001)


def test_the_time_of_a_step_is_that_of_all_kinds_of_steps():
    assert mean_seconds([Calls("m", 1, 9.0), Calls(None, 2, 3.0)]) == 4.0
    assert mean_seconds([]) is None
