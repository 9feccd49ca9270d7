"""The agent loop against the provider: whatever it answers, the loop sends nothing back that the provider refuses."""

import json
from dataclasses import dataclass, field

from agentfleet.domain.budget import Budget, Progress
from agentfleet.domain.model import Message, NextStep, StepKind
from agentfleet.domain.plan import (
    MAX_PAUSES,
    Continue,
    Finish,
    GiveUp,
    Invalid,
    LoopState,
    Rules,
    Valid,
    after_reason,
    after_tool,
    first_step,
)
from agentfleet.provider.reasoner import AnthropicReasoner
from agentfleet.simulator.armed import Match, Order
from agentfleet.simulator.serve import Running
from tests.integration.provider.conftest import Connect
from tests.integration.provider.talk import MODEL, ask, message

LOOK = {
    "name": "look",
    "description": "Look at one place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
ROOM = 1_000


def check_output(text: str) -> Valid | Invalid:
    """Half a document is none."""
    return Invalid("half a document") if text.endswith("{") else Valid(text)


RULES = Rules(MODEL, Budget(), {"look": "read"}, check_output)


@dataclass
class Loop:
    """One run, without a database: its conversation, and the states of its model calls in order."""

    reasoner: AnthropicReasoner
    conversation: list[Message] = field(default_factory=lambda: [message(0, "user", "Look at the cellar.")])
    states: list[LoopState] = field(default_factory=list[LoopState])

    async def run(self) -> Finish | GiveUp:
        steps: list[NextStep] = [first_step(MODEL)]
        while True:
            step = steps.pop(0)
            if step.kind is StepKind.TOOL:
                plan = self.call(step)
            else:
                plan = await self.reason(step)
            self.conversation = sorted([*self.conversation, *plan.messages], key=lambda each: (each.turn, each.part))
            if not isinstance(plan, Continue):
                return plan
            steps += [each for each in plan.steps if not (each.join and steps)]

    async def reason(self, step: NextStep) -> Continue | Finish | GiveUp:
        state = LoopState.loads(step.input)
        self.states.append(state)
        request = ask(*self.conversation, max_tokens=ROOM << state.growth, tools=[LOOK])
        turn = (await self.reasoner.reason(request, None)).turn
        return after_reason(step.turn, turn, state, Progress(steps=len(self.states)), RULES)

    def call(self, step: NextStep) -> Continue:
        block = {"type": "tool_result", "tool_use_id": json.loads(step.input)["call_id"], "content": "empty"}
        return after_tool(step.turn, step.part, json.dumps(block), MODEL)


def arm(sim: Running, fault: str, times: int, turn: int | None = None) -> None:
    sim.simulator.faults.arm(Order(fault=fault, times=times, match=Match(turn=turn)))


async def test_silence_after_tool_results_is_answered_and_the_run_goes_on(sim: Running, connect: Connect):
    arm(sim, "empty_turn", 1, turn=1)
    loop = Loop(connect(sim.url))
    end = await loop.run()
    assert isinstance(end, Finish)
    assert end.output
    assert [state.nudges for state in loop.states[:3]] == [0, 0, 1]
    assert {entry.status for entry in sim.simulator.log.entries} == {200}


async def test_a_second_silence_ends_the_run_with_an_empty_answer(sim: Running, connect: Connect):
    arm(sim, "empty_turn", 2)
    loop = Loop(connect(sim.url))
    assert await loop.run() == Finish("", (message(3, "assistant"),))
    assert len(sim.simulator.log.entries) == 2


async def test_a_pause_goes_on_with_what_was_said_and_never_for_ever(sim: Running, connect: Connect):
    arm(sim, "pause_turn", 3)
    assert isinstance(await Loop(connect(sim.url)).run(), Finish)
    sim.simulator.reset()
    arm(sim, "pause_turn", 1_000)
    loop = Loop(connect(sim.url))
    end = await loop.run()
    assert isinstance(end, GiveUp)
    assert end.kind == "pause_turn"
    assert len(sim.simulator.log.entries) == MAX_PAUSES + 1
    assert {entry.status for entry in sim.simulator.log.entries} == {200}


async def test_half_a_tool_call_is_asked_for_again_with_more_room(sim: Running, connect: Connect):
    arm(sim, "max_tokens_in_tool", 2, turn=0)
    loop = Loop(connect(sim.url))
    assert isinstance(await loop.run(), Finish)
    assert [state.growth for state in loop.states] == [0, 1, 2, 0]
    assert {entry.status for entry in sim.simulator.log.entries} == {200}


async def test_a_wrong_answer_is_explained_once(sim: Running, connect: Connect):
    arm(sim, "bad_output", 1, turn=1)
    loop = Loop(connect(sim.url))
    assert isinstance(await loop.run(), Finish)
    assert [state.reasks for state in loop.states[:3]] == [0, 0, 1]
    assert {entry.status for entry in sim.simulator.log.entries} == {200}


async def test_a_refusal_ends_the_run_with_its_category_after_one_call(sim: Running, connect: Connect):
    arm(sim, "refusal", 1_000)
    end = await Loop(connect(sim.url)).run()
    assert isinstance(end, GiveUp)
    assert (end.kind, end.reason) == ("refusal", "the model refused to go on (category: cyber)")
    assert len(sim.simulator.log.entries) == 1
