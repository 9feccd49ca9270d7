"""Cron patterns: the five fields, and when they come next."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentfleet.domain.cron import FIELDS, parse_cron
from agentfleet.domain.errors import InvalidInput

BERLIN, ZULU = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
MINUTES = 4 * 24 * 60


@st.composite
def numbers(draw, least: int, most: int) -> tuple[str, set[int]]:
    """One item of a field, and what it means."""
    first, last = sorted((draw(st.integers(least, most)), draw(st.integers(least, most))))
    step = draw(st.integers(1, 20))
    return draw(
        st.sampled_from(
            [
                ("*", set(range(least, most + 1))),
                (f"*/{step}", set(range(least, most + 1, step))),
                (str(first), {first}),
                (f"{first}-{last}", set(range(first, last + 1))),
                (f"{first}-{last}/{step}", set(range(first, last + 1, step))),
                (f"{first}/{step}", set(range(first, most + 1, step))),
            ]
        )
    )


@st.composite
def patterns(draw) -> tuple[str, list[set[int]], bool]:
    """A pattern, the meaning of each field, and whether both of its days are given."""
    chosen = [draw(st.lists(numbers(least, most), min_size=1, max_size=3)) for _, least, most in FIELDS]
    texts = [",".join(text for text, _ in items) for items in chosen]
    meanings = [set().union(*(meaning for _, meaning in items)) for items in chosen]
    return " ".join(texts), meanings, "*" not in (texts[2], texts[4])


@settings(max_examples=30)
@given(pattern=patterns(), day=st.integers(0, 7_000), second=st.integers(0, 86_399))
def test_the_next_time_is_the_first_minute_that_fits(pattern, day, second):
    text, (minutes, hours, days, months, weekdays), either = pattern
    weekdays = {day % 7 for day in weekdays}
    after = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=day, seconds=second)
    found = parse_cron(text).next(after, ZULU)
    minute = after.replace(second=0, microsecond=0)
    for _ in range(MINUTES):
        minute += timedelta(minutes=1)
        monthly, weekly = minute.day in days, minute.isoweekday() % 7 in weekdays
        fits_day = monthly or weekly if either else monthly and weekly
        if minute.minute in minutes and minute.hour in hours and minute.month in months and fits_day:
            assert found == minute
            return
    assert found is None or found > minute


@pytest.mark.parametrize(
    ("text", "after", "zone", "expected"),
    [
        ("0 9 * * 1-5", "2026-11-20T10:00Z", ZULU, "2026-11-23T09:00Z"),
        ("0 9 * * 1-5", "2026-11-20T10:00Z", BERLIN, "2026-11-23T08:00Z"),
        ("0 9 * * *", "2026-07-01T00:00Z", BERLIN, "2026-07-01T07:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00Z", ZULU, "2028-02-29T00:00Z"),
        ("0 0 13 * 5", "2026-11-14T00:00Z", ZULU, "2026-11-20T00:00Z"),
        ("0 0 * * 7", "2026-11-21T00:00Z", ZULU, "2026-11-22T00:00Z"),
        ("30 2 * * *", "2026-03-29T00:00Z", BERLIN, "2026-03-30T00:30Z"),
        ("30 2 * * *", "2026-10-25T00:29Z", BERLIN, "2026-10-25T00:30Z"),
        ("30 2 * * *", "2026-10-25T00:30Z", BERLIN, "2026-10-26T01:30Z"),
    ],
)
def test_patterns_come_by_the_clocks_of_their_zone(text, after, zone, expected):
    assert parse_cron(text).next(datetime.fromisoformat(after), zone) == datetime.fromisoformat(expected)


def test_a_day_that_no_year_has_never_comes():
    assert parse_cron("0 0 30 2 *").next(datetime(2026, 1, 1, tzinfo=UTC), ZULU) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day of month"),
        ("* * * 13 *", "month"),
        ("* * * * 8", "day of week"),
        ("* * * jan *", "month"),
        ("5-1 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        ("@daily", "five fields"),
        ("\u0661 * * * *", "minute"),
    ],
)
def test_what_is_no_pattern_is_refused_by_field(text, named):
    with pytest.raises(InvalidInput, match=named):
        parse_cron(text)
