"""How long a run is kept: the arithmetic, and what may be set."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from agentfleet.domain.errors import InvalidInput
from agentfleet.domain.retention import (
    FOREVER,
    Keep,
    in_words,
    overruled,
    read_keep,
    taken_in_turn,
    to_forget,
    to_json,
    to_strip,
)
from agentfleet.settings import Settings

DAY = 86_400.0
ENDED = datetime(2026, 1, 1, tzinfo=UTC)


def test_nothing_is_due_unless_somebody_says_so() -> None:
    assert to_forget("acme", Keep()) == to_strip("acme", Keep()) == []
    assert Keep().expires_at(ENDED, succeeded=True) is None
    assert Settings().keep() == Keep()


def test_failed_runs_stay_as_long_as_the_others_unless_they_have_an_age_of_their_own() -> None:
    assert Keep(DAY).run(succeeded=False) == DAY
    keep = Keep(DAY, 2 * DAY)
    assert [keep.expires_at(ENDED, succeeded=ok) for ok in (True, False)] == [
        ENDED + timedelta(days=days) for days in (1, 2)
    ]
    assert Keep(DAY).expires_at(None, succeeded=True) is None


def test_details_go_by_themselves_only_where_the_run_stays_longer() -> None:
    assert {rule.succeeded for rule in to_strip("a", Keep(30 * DAY, 7 * DAY, 7 * DAY))} == {True}
    assert to_strip("a", Keep(7 * DAY, None, 7 * DAY)) == []
    assert not any(rule.stripped for rule in to_strip("a", Keep(details=DAY)))


def test_a_run_goes_whether_its_details_have_gone_or_not() -> None:
    assert {(rule.succeeded, rule.stripped, rule.age) for rule in to_forget("a", Keep(DAY, FOREVER))} == {
        (True, False, DAY),
        (True, True, DAY),
    }


def test_what_a_tenant_has_of_its_own_is_read_as_it_was_written() -> None:
    keep = Keep(30 * DAY, 60 * DAY, 7 * DAY)
    assert overruled(keep, None) == overruled(keep, to_json({})) == keep
    own = to_json({"runs": FOREVER, "details": 1.5 * DAY})
    assert overruled(keep, own) == Keep(FOREVER, 60 * DAY, 1.5 * DAY)


def test_durations_are_read_and_written() -> None:
    for text, seconds in {
        "1d": DAY,
        "36h": 1.5 * DAY,
        "forever": FOREVER,
        " Forever ": FOREVER,
        "90d": 90 * DAY,
    }.items():
        assert read_keep("x", text) == seconds
        assert read_keep("x", in_words(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "0", "0d", "23h", "30", "-1d", "never", "999999999d"])
def test_a_duration_that_makes_no_sense_is_refused(text) -> None:
    with pytest.raises(InvalidInput, match="keep_runs"):
        read_keep("keep_runs", text)
    with pytest.raises(ValidationError):
        Settings(keep_runs=text)


def test_details_that_would_outlive_their_run_are_refused_with_both_values() -> None:
    with pytest.raises(ValidationError, match=r"AGENTFLEET_KEEP_DETAILS \(31d\).*AGENTFLEET_KEEP_RUNS \(30d\)"):
        Settings(keep_runs="30d", keep_details="31d")
    assert Settings(keep_runs="30d", keep_failed_runs="60d", keep_details="31d").keep() == Keep(
        30 * DAY, 60 * DAY, 31 * DAY
    )
    assert Settings(keep_runs="30d").keep() == Keep(30 * DAY)


@pytest.mark.parametrize("url", ["runs", "https://runs/x", "s3://", "s3://runs/a b"])
def test_an_archive_that_is_none_is_refused(url) -> None:
    with pytest.raises(ValidationError, match="archive"):
        Settings(archive=url)


def test_everybody_comes_first_at_some_time() -> None:
    assert taken_in_turn({"b", "a", "c"}, "") == ["a", "b", "c"]
    assert taken_in_turn({"b", "a", "c"}, "a") == ["b", "c", "a"]
    assert taken_in_turn({"b", "a", "c"}, "bb") == ["c", "a", "b"]
    assert taken_in_turn({"b", "a", "c"}, "c") == ["a", "b", "c"]
    assert taken_in_turn([], "x") == []
