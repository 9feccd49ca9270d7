"""Announced events: when they are under way, and when it is time to prepare."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.expectations import Expectation

NINE = datetime(2026, 12, 1, 9, tzinfo=UTC)
"""A Tuesday."""
seconds = st.floats(1, 10 * 3_600)


@given(offset=st.floats(-86_400, 86_400), lasts=seconds, lead=st.floats(0, 7_200))
def test_an_event_counts_from_its_lead_before_it_to_its_end(offset, lasts, lead):
    begins = Expectation(2, lasts, NINE).begins(NINE + timedelta(seconds=offset), lead)
    assert (
        begins == (NINE if -lead <= offset < lasts else None) or abs(offset - lasts) < 1e-3 or abs(offset + lead) < 1e-3
    )


@given(days=st.integers(0, 100), offset=st.floats(-3_600, 7_000))
def test_a_repeated_event_counts_every_time(days, offset):
    start = NINE + timedelta(days=days)
    begins = Expectation(2, 7_200.0, cron="0 9 * * *").begins(start + timedelta(seconds=offset), 3_600.0)
    assert begins == start


def test_its_next_start_is_told_until_it_is_over():
    event = Expectation(2, 60.0, NINE)
    assert event.next(NINE - timedelta(days=1)) == NINE
    assert event.next(NINE) is None


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "at"),
        ({"at": NINE, "cron": "* * * * *"}, "at"),
        ({"at": NINE.replace(tzinfo=None)}, "at"),
        ({"at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}, "at"),
        ({"at": datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14)))}, "at"),
        ({"at": NINE, "seconds": 0.0}, "seconds"),
        ({"at": NINE, "factor": float("nan")}, "factor"),
        ({"at": NINE, "pool": "BAD POOL"}, "pool"),
        ({"cron": "0 0 31 4 *"}, "cron"),
        ({"cron": "0 9 * * *", "tz": "../etc/passwd"}, "tz"),
        ({"cron": "0 9 * * *", "tz": "Nowhere"}, "tz"),
    ],
)
def test_what_cannot_be_is_refused_by_field(wrong, field):
    with pytest.raises(InvalidInput) as caught:
        Expectation(**{"factor": 2.0, "seconds": 60.0, **wrong})
    assert caught.value.field == field
