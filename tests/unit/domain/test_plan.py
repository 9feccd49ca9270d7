import json
from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby, pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.budget import Budget, Progress
from agentfleet.domain.model import StepKind
from agentfleet.domain.plan import (
    MAX_GROWTH,
    MAX_PAUSES,
    MAX_REASKS,
    Continue,
    Finish,
    GiveUp,
    LoopState,
    ToolUse,
    Turn,
    after_reason,
    after_tool,
    first_step,
)

from .loop_driver import (
    EFFECTS,
    FRESH,
    MODEL,
    STOP_REASONS,
    Driver,
    answer_lists,
    drives,
    orders,
    reason_step,
    rules,
    tool_uses,
    turn_of,
    turns,
)

KINDS = {"invalid_output", "max_tokens", "pause_turn", "refusal", "context_window", "unknown_stop_reason"}


@given(drives)
def test_the_loop_stays_within_its_ceilings_whatever_the_model_answers(drive: Driver) -> None:
    drive.run()
    assert drive.budget.max_steps is not None
    assert drive.progress.steps <= drive.budget.max_steps
    assert drive.progress.tool_calls <= (drive.budget.max_tool_calls or drive.progress.steps)
    assert drive.progress.usage.cost_usd <= (drive.budget.max_cost_usd or 10**9)
    if isinstance(drive.end, GiveUp):
        assert drive.end.kind in KINDS
        assert drive.end.reason


@given(answer_lists, st.decimals("0.01", "0.1", places=2), orders)
def test_a_cost_ceiling_alone_stops_the_loop_before_it_is_broken(
    answers: Sequence[Turn], cap: Decimal, order: Random
) -> None:
    drive = Driver(Budget(max_steps=None, max_cost_usd=cap), answers, order, price=Decimal("0.03")).run()
    assert drive.progress.usage.cost_usd <= cap
    if drive.end is None:
        assert drive.progress.usage.cost_usd + drive.price > cap


@given(drives)
def test_every_tool_call_knows_which_of_the_run_it_is(drive: Driver) -> None:
    drive.run()
    assert [json.loads(step.input)["nth"] for step in drive.tools()] == list(range(1, len(drive.tools()) + 1))


@given(drives)
def test_every_turn_is_written_once_by_one_side_and_none_is_left_out(drive: Driver) -> None:
    drive.run()  # fails by itself when a part is written twice
    numbers = sorted({turn for turn, _ in drive.conversation})
    assert numbers == list(range(1, len(numbers) + 1))
    for number in numbers:
        parts = drive.parts(number)
        assert [message.part for message in parts] == list(range(len(parts)))
        assert len({message.role for message in parts}) == 1


@given(drives)
def test_the_user_never_speaks_twice_and_the_model_only_after_a_pause(drive: Driver) -> None:
    drive.run()
    paused = {step.turn for step, turn in drive.reasoned if turn.stop_reason == "pause_turn"}
    roles = {message.turn: message.role for message in drive.conversation.values()}
    for (earlier, first), (_, second) in pairwise(sorted(roles.items())):
        if first == second:
            assert first == "assistant"
            assert earlier in paused


@given(drives)
def test_every_tool_use_gets_exactly_one_result_in_the_next_user_turn(drive: Driver) -> None:
    drive.run()
    for step, turn in drive.reasoned:
        answered = [number for number, _ in drive.conversation if number > step.turn]
        held_up = any(other.turn == step.turn + 1 for other in drive.refused)
        if turn.stop_reason != "tool_use" or not answered or held_up:
            continue  # the loop went on otherwise, or not at all
        parts = drive.parts(step.turn + 1)
        blocks = [block for message in parts for block in json.loads(message.content)]
        assert {message.role for message in parts} == {"user"}
        assert [block["tool_use_id"] for block in blocks] == [use.call_id for use in turn.tool_uses]


@given(drives)
def test_tool_calls_come_only_out_of_a_turn_that_stopped_to_use_tools(drive: Driver) -> None:
    drive.run()
    answers = {step.turn: turn for step, turn in drive.reasoned}  # of a repeated turn the last answer counts
    calls = {number: list(steps) for number, steps in groupby(drive.tools(), key=lambda step: step.turn)}
    for number, steps in calls.items():
        turn = answers[number - 1]
        assert turn.stop_reason == "tool_use"
        assert [(step.name, step.part) for step in steps] == [(u.name, part) for part, u in enumerate(turn.tool_uses)]


@given(st.sampled_from([reason for reason in STOP_REASONS if reason != "tool_use"]), turns, st.builds(LoopState))
def test_a_tool_call_inside_any_other_turn_is_never_run(reason: str, turn: Turn, state: LoopState) -> None:
    odd = Turn(reason, turn.content, turn.text, turn.tool_uses)
    plan = after_reason(5, odd, state, Progress(steps=5), rules())
    assert not isinstance(plan, Continue) or [step.kind for step in plan.steps] == [StepKind.REASON]


@given(tool_uses.filter(bool))
def test_arguments_and_effects_reach_their_tool_unchanged(uses: tuple[ToolUse, ...]) -> None:
    plan = after_reason(7, Turn("tool_use", "[]", "", uses), LoopState(), Progress(9, 4), rules())
    assert isinstance(plan, Continue)
    for part, (step, use) in enumerate(zip(plan.steps, uses, strict=True)):
        assert (step.kind, step.name, step.turn, step.part) == (StepKind.TOOL, use.name, 8, part)
        assert step.effect == EFFECTS.get(use.name)
        assert not step.join
        assert step.input.endswith(f'"arguments":{use.arguments}}}')
        expected = {"call_id": use.call_id, "nth": 5 + part, "arguments": json.loads(use.arguments)}
        assert json.loads(step.input) == expected


@given(turns, st.integers(1, 50))
def test_what_the_model_said_is_kept_verbatim_unless_it_was_cut_off(turn: Turn, number: int) -> None:
    plan = after_reason(number, turn, LoopState(), Progress(steps=1), rules())
    if turn.stop_reason == "max_tokens":
        assert plan.messages == ()
    else:
        said = plan.messages[0]
        assert (said.turn, said.part, said.role, said.content) == (number, 0, "assistant", turn.content)


@given(drives)
def test_room_for_a_cut_off_turn_grows_at_most_twice(drive: Driver) -> None:
    drive.run()
    for episode in drive.episodes():
        growths = [LoopState.loads(step.input).growth for step, _ in episode]
        cuts = [turn.stop_reason == "max_tokens" for _, turn in episode]
        assert growths == [sum(cuts[:i]) for i in range(len(cuts))]
        assert growths[-1] <= MAX_GROWTH == 2
        assert (sum(cuts) == 3) is (isinstance(drive.end, GiveUp) and drive.end.kind == "max_tokens" and cuts[-1])


@given(drives)
def test_a_wrong_answer_is_asked_for_once_more_and_then_fails_the_run(drive: Driver) -> None:
    drive.run()
    for episode in drive.episodes():
        nudged = [LoopState.loads(step.input).nudges for step, _ in episode]
        wrong = [
            turn.stop_reason in {"end_turn", "stop_sequence"}
            and not turn.text.startswith("ok")
            and (turn.text or nudges)
            for (_, turn), nudges in zip(episode, nudged, strict=True)
        ]
        wrong = list(map(bool, wrong))
        assert [LoopState.loads(step.input).reasks for step, _ in episode] == [
            sum(wrong[:i]) for i in range(len(wrong))
        ]
        assert sum(wrong) <= MAX_REASKS + 1 == 2
    if isinstance(drive.end, GiveUp) and drive.end.kind == "invalid_output":
        *_, last = drive.episodes()
        silences = max(LoopState.loads(step.input).nudges for step, _ in last)
        answers = [turn.text for _, turn in last if turn.stop_reason in {"end_turn", "stop_sequence"}]
        assert sum(not text.startswith("ok") for text in answers) == 2 + silences


@given(drives)
def test_a_model_that_says_nothing_is_told_to_continue_once_and_only_then(drive: Driver) -> None:
    drive.run()
    expected: list[int] = []
    for episode in drive.episodes():
        silent = [turn.stop_reason in {"end_turn", "stop_sequence"} and not turn.text for _, turn in episode]
        nudges = [LoopState.loads(step.input).nudges for step, _ in episode]
        assert nudges == [min(sum(silent[:i]), 1) for i in range(len(silent))]
        expected += [episode[silent.index(True)][0].turn + 1] if any(silent) else []
    told = '[{"type": "text", "text": "Continue."}]'
    assert [number for (number, _), message in drive.conversation.items() if message.content == told] == expected


@given(drives)
def test_a_turn_is_continued_after_a_pause_ten_times_at_most(drive: Driver) -> None:
    drive.run()
    for episode in drive.episodes():
        pauses = [turn.stop_reason == "pause_turn" for _, turn in episode]
        assert [LoopState.loads(step.input).pauses for step, _ in episode] == [
            sum(pauses[:i]) for i in range(len(pauses))
        ]
        assert sum(pauses) <= MAX_PAUSES + 1 == 11


@given(drives)
def test_a_run_succeeds_only_with_a_valid_answer_of_a_turn_that_ended(drive: Driver) -> None:
    drive.run()
    if not drive.reasoned:
        return  # not even its first call had room
    _, last = drive.reasoned[-1]
    ended_well = last.stop_reason in {"end_turn", "stop_sequence"} and last.text.startswith("ok")
    assert isinstance(drive.end, Finish) is ended_well
    if isinstance(drive.end, Finish):
        assert drive.end.output == json.dumps(last.text)


def test_a_valid_answer_counts_even_when_the_budget_is_spent() -> None:
    assert isinstance(after_reason(1, turn_of("end_turn", "ok"), FRESH, Progress(steps=9), rules(Budget(1))), Finish)


def test_a_run_starts_with_one_reason_step_after_the_users_input() -> None:
    assert first_step(MODEL) == reason_step(1, FRESH)


@given(st.integers(1, 99), st.integers(0, 9))
def test_the_last_result_of_a_turn_wakes_the_model(number: int, part: int) -> None:
    plan = after_tool(number, part, '{"type":"tool_result"}', MODEL)
    [message], [step] = plan.messages, plan.steps
    assert (message.turn, message.part, message.role) == (number, part, "user")
    assert message.content == '[{"type":"tool_result"}]'
    assert (step.kind, step.name, step.turn, step.part, step.join) == (StepKind.REASON, MODEL, number + 1, 0, True)


@given(st.builds(LoopState, *[st.integers(0, 99)] * 4))
def test_the_loops_memory_survives_being_written_down(state: LoopState) -> None:
    assert LoopState.loads(state.dumps()) == state


def test_a_step_without_memory_starts_fresh() -> None:
    assert LoopState.loads("{}") == FRESH
