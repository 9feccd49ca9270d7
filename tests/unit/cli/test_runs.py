"""A wait is told as a sentence."""

from datetime import datetime, timedelta

from agentfleet.cli import runs
from agentfleet.client import Waiting
from agentfleet.client.models import Expected
from agentfleet.domain.waiting import MOST

NOW = datetime(2026, 11, 21, 12, 0).astimezone()
WAITING = Waiting(blocked_on="queue", detail="Step 0 waits for its turn.", since=NOW)


def test_a_wait_without_expectations_says_since_when() -> None:
    assert runs.sentence(WAITING) == "Step 0 waits for its turn. Since 2026-11-21 12:00:00."


def test_a_wait_whose_reason_ends_in_no_full_stop_gets_one() -> None:
    told = WAITING.model_copy(update={"detail": "Step 0 waits for a larger budget: nothing is left"})
    assert runs.sentence(told) == "Step 0 waits for a larger budget: nothing is left. Since 2026-11-21 12:00:00."


def test_a_wait_says_its_place_and_what_is_expected() -> None:
    expected = Expected(p50=NOW + timedelta(minutes=2), p90=NOW + timedelta(minutes=5))
    told = WAITING.model_copy(
        update={"position": 7, "expected_start": NOW + timedelta(minutes=1), "expected_finish": expected}
    )
    assert runs.sentence(told) == (
        "Step 0 waits for its turn. Since 2026-11-21 12:00:00; number 7 among those that wait for it; "
        "goes on about 2026-11-21 12:01:00; ends about 2026-11-21 12:02:00, by 2026-11-21 12:05:00 in 9 of 10 cases."
    )


def test_a_place_that_was_not_counted_to_the_end_says_so() -> None:
    assert runs.MOST == MOST
    assert "number 10000+ among" in runs.sentence(WAITING.model_copy(update={"position": MOST}))
