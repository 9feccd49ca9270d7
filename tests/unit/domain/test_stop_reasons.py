"""What follows each stop reason of the model: one row, one rule."""

import json
from dataclasses import replace

import pytest

from agentfleet.domain.budget import Progress
from agentfleet.domain.model import NextStep
from agentfleet.domain.plan import (
    Continue,
    Finish,
    GiveUp,
    LoopState,
    Turn,
    Valid,
    after_reason,
)

from .loop_driver import (
    FRESH,
    FULL,
    GROWN,
    REASKED,
    reason_step,
    rules,
    turn_of,
)


@pytest.mark.parametrize(
    ("answer", "state", "expected"),
    [
        (turn_of("end_turn", "ok"), FRESH, '"ok"'),
        (turn_of("stop_sequence", "ok"), LoopState(1, 2), '"ok"'),
        (turn_of("end_turn", "no"), FRESH, reason_step(5, REASKED)),
        (turn_of("end_turn", "no"), FULL, reason_step(5, LoopState(1, 2))),
        (turn_of("end_turn", "no"), REASKED, "invalid_output"),
        (turn_of("end_turn", ""), FRESH, reason_step(5, LoopState(nudges=1))),
        (turn_of("end_turn", " \n"), FRESH, reason_step(5, LoopState(nudges=1))),
        (turn_of("stop_sequence", ""), LoopState(1, 2), reason_step(5, LoopState(1, 2, nudges=1))),
        (turn_of("end_turn", ""), LoopState(nudges=1), reason_step(5, LoopState(reasks=1, nudges=1))),
        (turn_of("end_turn", ""), LoopState(reasks=1, nudges=1), "invalid_output"),
        (turn_of("pause_turn"), FRESH, reason_step(4, LoopState(pauses=1))),
        (turn_of("pause_turn"), LoopState(1, 2, 1, 9), reason_step(4, LoopState(1, 2, 1, 10))),
        (turn_of("pause_turn"), LoopState(pauses=10), "pause_turn"),
        (turn_of("max_tokens"), FRESH, reason_step(3, GROWN)),
        (turn_of("max_tokens"), GROWN, reason_step(3, FULL)),
        (turn_of("max_tokens", "ok"), LoopState(reasks=1), reason_step(3, LoopState(1, 1))),
        (turn_of("max_tokens"), FULL, "max_tokens"),
        (turn_of("max_tokens", at_limit=True), FRESH, "max_tokens"),
        (turn_of("end_turn", "ok", at_limit=True), FRESH, '"ok"'),
        (turn_of("refusal"), FRESH, "refusal"),
        (turn_of("model_context_window_exceeded"), FRESH, "context_window"),
        (turn_of("tool_use"), FRESH, "unknown_stop_reason"),
        (turn_of("brand_new"), FRESH, "unknown_stop_reason"),
    ],
)
def test_what_follows_a_stop_reason(answer: Turn, state: LoopState, expected: NextStep | str) -> None:
    match after_reason(3, answer, state, Progress(steps=2), rules()):
        case Continue(steps):
            assert steps == (expected,)
        case Finish(output):
            assert output == expected
        case GiveUp(kind):
            assert kind == expected


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (turn_of("refusal", category="cyber"), "the model refused to go on (category: cyber)"),
        (turn_of("refusal"), "the model refused to go on"),
        (turn_of("model_context_window_exceeded"), "context window: begin again with less"),
        (turn_of("max_tokens", at_limit=True), "all that the model can say at once"),
        (turn_of("brand_new"), "'brand_new'"),
    ],
)
def test_what_ends_a_run_says_why(answer: Turn, words: str) -> None:
    plan = after_reason(3, answer, FRESH, Progress(steps=2), rules())
    assert isinstance(plan, GiveUp)
    assert words in plan.reason
    assert [message.content for message in plan.messages] == [answer.content]


def test_a_second_silence_ends_a_run_whose_output_may_be_empty() -> None:
    plain = replace(rules(), check_output=lambda text: Valid(json.dumps(text)))
    plan = after_reason(3, turn_of("end_turn"), LoopState(nudges=1), Progress(steps=2), plain)
    assert isinstance(plan, Finish)
    assert plan.output == '""'


def test_a_correction_tells_the_model_what_was_wrong() -> None:
    plan = after_reason(3, turn_of("end_turn", 'né"'), FRESH, Progress(steps=1), rules())
    correction = plan.messages[1]
    assert (correction.turn, correction.part, correction.role) == (4, 0, "user")
    [block] = json.loads(correction.content)
    assert block["type"] == "text"
    assert "né" in block["text"]
