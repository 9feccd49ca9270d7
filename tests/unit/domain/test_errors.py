import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.errors import IllegalTransition, InvalidInput, ProviderError, StepError, ToolRetry

scalars = st.none() | st.booleans() | st.integers() | st.text()
details = st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), scalars).filter(lambda d: "message" not in d)


@given(st.text(), details)
def test_the_evidence_of_a_step_error_is_what_is_known(message: str, detail: dict[str, object]) -> None:
    error = StepError(message, **detail)
    assert str(error) == message
    assert error.detail == {key: value for key, value in detail.items() if value is not None}


def test_a_provider_error_carries_its_facts_as_attributes_and_as_evidence() -> None:
    facts: dict[str, Any] = {
        "status": 429,
        "error_type": "rate_limit_error",
        "error_code": "spend",
        "request_id": "req_1",
        "retry_after": 0.0,
    }
    error = ProviderError("slow down", **facts, account="a")
    assert {name: getattr(error, name) for name in facts} == facts
    assert json.loads(json.dumps(error.detail)) == {**facts, "account": "a"}


def test_a_tool_says_when_it_wants_to_be_tried_again() -> None:
    assert ToolRetry(after=3.5).retry_after == 3.5
    assert ToolRetry().retry_after is None
    assert ToolRetry().detail == {}


@pytest.mark.parametrize(("field", "text"), [("/input", "/input: too long"), ("", "too long")])
def test_invalid_input_names_the_field(field: str, text: str) -> None:
    error = InvalidInput(field, "too long")
    assert (str(error), error.field, error.problem) == (text, field, "too long")


def test_an_illegal_transition_names_all_three() -> None:
    assert str(IllegalTransition("step", "dead", "claim")) == "a step that is 'dead' has no event 'claim'"
