import pytest

from agentfleet.api.conditional import retry_after
from agentfleet.domain.states import RUN_FINAL, RUN_OPEN


@pytest.mark.parametrize(
    ("state", "age", "seconds"),
    [
        ("queued", 0.1, 1), ("running", 9.9, 1), ("running", 30, 2), ("running", 300, 5), ("running", 3_600, 15),
        ("waiting", 1, 5), ("waiting", 3_600, 15), ("paused", 1, 30), ("needs_review", 1, 60),
    ],
)  # fmt: skip
def test_the_older_a_run_the_rarer_asking_is_worth_it(state: str, age: float, seconds: int) -> None:
    assert retry_after(state, age) == seconds


def test_only_a_run_that_has_ended_is_never_worth_asking_again() -> None:
    assert {retry_after(state, 5) for state in RUN_FINAL} == {None}
    assert None not in {retry_after(state, 5) for state in RUN_OPEN}
