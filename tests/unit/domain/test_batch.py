"""Who goes into the batch lane, how long it waits there, and how a batch is found again."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.batch import LANE, LONGEST_LOOK, Slack, batch_of, choose_lane, custom_id, look_again_after
from agentfleet.domain.durations import parse_duration

HOUR = 3_600.0


@pytest.mark.parametrize(
    ("deadline", "asked", "agent", "lane"),
    [
        (None, None, None, None),
        (None, None, True, None),
        (None, LANE, True, None),
        (6 * HOUR, None, None, LANE),
        (6 * HOUR - 1, None, None, None),
        (HOUR, None, True, LANE),
        (HOUR, LANE, None, LANE),
        (48 * HOUR, "direct", None, None),
        (48 * HOUR, "direct", True, None),
        (48 * HOUR, None, False, None),
        (48 * HOUR, LANE, False, None),
    ],
)
def test_the_request_then_the_agent_then_the_deadline_choose_the_lane(
    deadline: float | None, asked: str | None, agent: bool | None, lane: str | None
) -> None:
    assert choose_lane(deadline, asked=asked, agent=agent, loose=6 * HOUR) == lane


@pytest.mark.parametrize(
    ("left", "whole", "margin", "wait"),
    [
        (6 * HOUR, 6 * HOUR, None, 4.5 * HOUR),  # a quarter is kept
        (HOUR, HOUR, None, HOUR / 2),  # half an hour at least
        (HOUR, 6 * HOUR, None, 0),
        (6 * HOUR, 6 * HOUR, 60.0, 6 * HOUR - 60),
        (10.0, HOUR, 60.0, 0),
        (-5.0, HOUR, 0.0, 0),
        (None, None, None, 0),
    ],
)
def test_a_step_waits_until_the_margin_of_its_deadline(
    left: float | None, whole: float | None, margin: float | None, wait: float
) -> None:
    assert Slack(left, whole).spill_in(margin) == wait


@given(batch=st.uuids(), number=st.integers(0, 99_999))
def test_a_custom_id_is_legal_and_tells_its_batch(batch, number: int) -> None:
    name = custom_id(str(batch), number)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name)
    assert batch_of(name) == str(batch)


@pytest.mark.parametrize("name", ["", "a", "request-1", "01a1ff16a4a1710bb1fe1407d092f7f2", "x" * 32 + "_0"])
def test_a_custom_id_of_others_tells_nothing(name: str) -> None:
    assert batch_of(name) is None


@given(age=st.floats(0, 1e6), at_least=st.floats(0.1, 300))
def test_a_batch_is_looked_at_less_often_the_older_it_is_but_often_enough(age: float, at_least: float) -> None:
    assert at_least <= look_again_after(age, at_least) <= LONGEST_LOOK
    assert look_again_after(age, at_least) <= look_again_after(age * 2, at_least)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6h", 21_600), ("90m", 5_400), ("2d", 172_800), ("1d12h", 129_600), (" 1H30M5S ", 5_405), ("0s", 0)],
)
def test_durations_are_written_as_people_do(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "6", "h", "1.5h", "-1h", "1h2d", "6 h", "6hours", "h6", "9" * 400 + "d", "9" * 5_000 + "s"]
)
def test_what_is_no_duration_is_none(text: str) -> None:
    assert parse_duration(text) is None
