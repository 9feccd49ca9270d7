from collections.abc import Callable, Collection, Mapping
from itertools import product
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentfleet.domain.errors import IllegalTransition
from agentfleet.domain.states import (
    BLOCKED_ON,
    RUN_FINAL,
    RUN_INITIAL,
    RUN_OPEN,
    RUN_TRANSITIONS,
    STEP_FINAL,
    STEP_INITIAL,
    STEP_TRANSITIONS,
    RunEvent,
    RunState,
    StepEvent,
    StepState,
    run_after,
    run_sources,
    step_after,
    step_sources,
)


class Machine(NamedTuple):
    noun: str
    table: Mapping[tuple[Any, Any], Any]
    states: Collection[Any]
    events: Collection[Any]
    initial: Collection[Any]
    final: Collection[Any]
    after: Callable[[Any, Any], Any]
    sources: Callable[[Any], list[str]]

    def reachable_from(self, start: Collection[Any]) -> set[Any]:
        seen, fresh = set(start), set(start)
        while fresh:
            fresh = {to for (state, _), to in self.table.items() if state in fresh} - seen
            seen |= fresh
        return seen

    def leaving(self, state: Any) -> dict[Any, Any]:
        return {event: to for (source, event), to in self.table.items() if source is state}


STEP = Machine("step", STEP_TRANSITIONS, StepState, StepEvent, STEP_INITIAL, STEP_FINAL, step_after, step_sources)
RUN = Machine("run", RUN_TRANSITIONS, RunState, RunEvent, {RUN_INITIAL}, RUN_FINAL, run_after, run_sources)
MACHINES = (STEP, RUN)
every_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.noun)
walks = st.sampled_from(MACHINES).flatmap(
    lambda machine: st.tuples(
        st.just(machine),
        st.sampled_from(sorted(machine.initial)),
        st.lists(st.sampled_from(list(machine.events)), max_size=60),
    )
)


@every_machine
def test_every_state_is_reachable_from_an_initial_one(machine: Machine) -> None:
    assert machine.reachable_from(machine.initial) == set(machine.states)


@every_machine
def test_from_every_state_an_end_can_be_reached(machine: Machine) -> None:
    for state in machine.states:
        assert machine.reachable_from({state}) & set(machine.final), f"{state} is a trap"


@every_machine
def test_exactly_the_final_states_have_no_way_out(machine: Machine) -> None:
    assert {state for state in machine.states if not machine.leaving(state)} == set(machine.final)


@every_machine
def test_every_event_occurs_in_the_table(machine: Machine) -> None:
    assert {event for _, event in machine.table} == set(machine.events)


@every_machine
def test_the_table_is_followed_and_everything_else_is_illegal(machine: Machine) -> None:
    for state, event in product(machine.states, machine.events):
        if (state, event) in machine.table:
            assert machine.after(state, event) is machine.table[state, event]
            continue
        with pytest.raises(IllegalTransition) as caught:
            machine.after(state, event)
        assert (caught.value.noun, caught.value.state, caught.value.event) == (machine.noun, state, event)


@every_machine
def test_sources_are_the_rows_of_the_table_as_sorted_plain_strings(machine: Machine) -> None:
    for event in machine.events:
        sources = machine.sources(event)
        assert sources == sorted({state.value for state, row in machine.table if row is event})
        assert {type(source) for source in sources} == {str}


@given(walks)
def test_no_walk_of_events_leaves_the_table(walk: tuple[Machine, Any, list[Any]]) -> None:
    machine, state, events = walk
    for event in events:
        if state.value in machine.sources(event):
            state = machine.after(state, event)
            assert state in machine.states
        else:
            with pytest.raises(IllegalTransition):
                machine.after(state, event)


@given(st.sampled_from(MACHINES), st.data())
def test_an_ended_walk_accepts_nothing_more(machine: Machine, data: st.DataObject) -> None:
    state = data.draw(st.sampled_from(sorted(machine.initial)))
    for _ in range(40):
        legal = machine.leaving(state)
        if not legal:
            break
        state = machine.after(state, data.draw(st.sampled_from(sorted(legal))))
    if state in machine.final:
        for event in machine.events:
            with pytest.raises(IllegalTransition):
                machine.after(state, event)


@given(st.sampled_from(sorted(STEP_INITIAL)), st.data())
def test_a_step_runs_only_after_a_claim_and_every_run_of_it_is_ended_by_its_owner(
    state: StepState, data: st.DataObject
) -> None:
    claims = ended = successes = 0
    for _ in range(40):
        legal = STEP.leaving(state)
        if not legal:
            break
        event = data.draw(st.sampled_from(sorted(legal)))
        before, state = state, step_after(state, event)
        claims += event is StepEvent.CLAIM
        ended += before is StepState.RUNNING is not state
        successes += state is StepState.SUCCEEDED
    assert claims - ended == (state is StepState.RUNNING)
    assert successes <= 1


S = StepState


@pytest.mark.parametrize(
    ("start", "events", "states"),
    [
        pytest.param(S.READY, "dispatch claim renew succeed", "dispatched running running succeeded", id="success"),
        pytest.param(S.DISPATCHED, "claim succeed", "running succeeded", id="born dispatched"),
        pytest.param(S.DISPATCHED, "republish claim", "dispatched running", id="a lost message is sent again"),
        pytest.param(S.DISPATCHED, "recall dispatch", "ready dispatched", id="a stopping worker returns a message"),
        pytest.param(S.RUNNING, "retry promote dispatch", "waiting ready dispatched", id="a failure is tried again"),
        pytest.param(S.RUNNING, "snooze promote dispatch", "waiting ready dispatched", id="a refusal waits"),
        pytest.param(S.RUNNING, "hand_back dispatch", "ready dispatched", id="a stopping worker returns a step"),
        pytest.param(S.RUNNING, "bury replay dispatch", "dead ready dispatched", id="a dead letter is replayed"),
        pytest.param(S.DEAD, "cancel", "cancelled", id="a dead letter is dropped"),
    ],
)
def test_the_lives_of_a_step(start: StepState, events: str, states: str) -> None:
    assert path(STEP, start, events) == states


R = RunState


@pytest.mark.parametrize(
    ("start", "events", "states"),
    [
        pytest.param(R.QUEUED, "start start succeed", "running running succeeded", id="success"),
        pytest.param(R.RUNNING, "block block unblock", "waiting waiting running", id="blocked and free again"),
        pytest.param(R.RUNNING, "pause resume", "paused running", id="paused and resumed"),
        pytest.param(R.QUEUED, "pause resume", "paused running", id="paused before it started"),
        pytest.param(R.WAITING, "pause resume", "paused running", id="paused while it waited"),
        pytest.param(R.RUNNING, "review review replay", "needs_review needs_review running", id="two dead letters"),
        pytest.param(R.NEEDS_REVIEW, "fail", "failed", id="the human gives up"),
        pytest.param(R.RUNNING, "fail", "failed", id="failure"),
        pytest.param(R.WAITING, "succeed", "succeeded", id="another step ended it"),
    ],
)
def test_the_lives_of_a_run(start: RunState, events: str, states: str) -> None:
    assert path(RUN, start, events) == states


def path(machine: Machine, state: Any, events: str) -> str:
    event_type = type(next(iter(machine.events)))
    states: list[str] = []
    for word in events.split():
        state = machine.after(state, event_type(word))
        states.append(state.value)
    return " ".join(states)


def test_a_dead_step_leaves_only_by_replay_or_cancel() -> None:
    assert set(STEP.leaving(StepState.DEAD)) == {StepEvent.REPLAY, StepEvent.CANCEL}


def test_only_a_claim_makes_a_step_run() -> None:
    entering = {(state, event) for (state, event), to in STEP_TRANSITIONS.items() if to is StepState.RUNNING}
    assert entering == {(StepState.DISPATCHED, StepEvent.CLAIM), (StepState.RUNNING, StepEvent.RENEW)}


@pytest.mark.parametrize("event", ["renew", "succeed", "retry", "snooze", "hand_back", "bury"])
def test_only_a_running_step_can_be_settled(event: str) -> None:
    assert step_sources(StepEvent(event)) == ["running"]


def test_everything_that_has_not_ended_can_be_cancelled() -> None:
    assert set(step_sources(StepEvent.CANCEL)) == set(StepState) - STEP_FINAL
    assert set(run_sources(RunEvent.CANCEL)) == RUN_OPEN


def test_every_open_run_can_expire_and_can_fail() -> None:
    assert set(run_sources(RunEvent.EXPIRE)) == set(run_sources(RunEvent.FAIL)) == RUN_OPEN


def test_a_buried_step_puts_any_open_run_under_review() -> None:
    assert set(run_sources(RunEvent.REVIEW)) == RUN_OPEN


def test_a_run_stays_under_review_until_a_replay_or_its_end() -> None:
    # A dead letter waits in a run under review and nowhere else, so that a replay finds every one of them.
    assert run_sources(RunEvent.REPLAY) == ["needs_review"]
    assert RunEvent.PAUSE not in RUN.leaving(RunState.NEEDS_REVIEW)


def test_a_run_under_review_does_not_succeed_or_start_by_itself() -> None:
    leaving = RUN.leaving(RunState.NEEDS_REVIEW)
    onward = {event for event, to in leaving.items() if to not in RUN_FINAL | {RunState.NEEDS_REVIEW}}
    assert onward == {RunEvent.REPLAY}
    assert RunEvent.SUCCEED not in leaving


def test_a_paused_run_makes_no_progress_until_it_is_resumed() -> None:
    assert [event for event, to in RUN.leaving(RunState.PAUSED).items() if to is RunState.RUNNING] == [RunEvent.RESUME]


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "expired"])
def test_each_end_of_a_run_has_its_own_event(state: str) -> None:
    events = {event for (_, event), to in RUN_TRANSITIONS.items() if to == state}
    assert len(events) == 1
    assert {to for (_, event), to in RUN_TRANSITIONS.items() if event in events} == {state}


def test_final_and_open_states_of_a_run_are_all_of_them() -> None:
    assert set(RunState) == RUN_FINAL | RUN_OPEN
    assert not RUN_FINAL & RUN_OPEN


def test_reasons_to_wait_are_distinct() -> None:
    assert len(set(BLOCKED_ON)) == len(BLOCKED_ON)
