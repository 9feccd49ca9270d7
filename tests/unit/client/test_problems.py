"""What a refusal says."""

from agentfleet.client import ApiProblem
from agentfleet.client.patience import FIRST_PAUSE, LONGEST_PAUSE, Patience

PROBLEM = {
    "type": "https://agentfleet.dev/problems/invalid_request",
    "title": "The request is not valid",
    "status": 422,
    "detail": "Mend every place that `errors` names.",
    "code": "invalid_request",
    "request_id": "r-1",
    "errors": [{"pointer": "/agent", "detail": "is missing"}, {"parameter": "limit", "detail": "is too large"}],
}


def test_a_problem_says_title_detail_every_place_and_the_request_id() -> None:
    text = str(ApiProblem(PROBLEM))
    for part in (
        "The request is not valid",
        "Mend every place",
        "/agent: is missing",
        "limit: is too large",
        "r-1",
        "422",
    ):
        assert part in text


def test_a_problem_of_a_later_version_is_still_a_problem() -> None:
    assert ApiProblem({"status": 418, "title": "New"}).code == "unknown"


def test_the_server_decides_how_long_to_wait_within_reason() -> None:
    assert Patience(9).pause("3") == 3
    assert Patience(9).pause("99999") == LONGEST_PAUSE
    assert Patience(9).pause("Wed, 21 Oct 2026 07:28:00 GMT") == FIRST_PAUSE


def test_pauses_double_up_to_a_bound_and_start_anew_after_a_success() -> None:
    trying = Patience(9)
    assert [trying.pause() for _ in range(3)] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert max(trying.pause() for _ in range(2000)) == LONGEST_PAUSE
    trying.reset()
    assert trying.pause() == FIRST_PAUSE


def test_patience_begins_with_the_first_failure() -> None:
    assert not Patience(60).exhausted
    assert Patience(0).exhausted
