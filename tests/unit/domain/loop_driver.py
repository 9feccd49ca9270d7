"""The agent loop driven to its end by the smallest possible engine: steps in a list, settled in any order."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import cycle
from random import Random
from typing import Any

from hypothesis import strategies as st

from agentfleet.domain.budget import Amount, Budget, Progress, Usage
from agentfleet.domain.model import Message, NextStep, StepKind
from agentfleet.domain.plan import (
    Continue,
    Finish,
    GiveUp,
    Invalid,
    LoopState,
    Rules,
    ToolUse,
    Turn,
    Valid,
    after_reason,
    after_tool,
    first_step,
)

MODEL = "claude-test"
EFFECTS = {"look": "read", "book": "idempotent", "pay": "unsafe"}
STOP_REASONS = (
    "tool_use", "end_turn", "stop_sequence", "pause_turn", "max_tokens", "refusal", "model_context_window_exceeded",
    "a reason of next year",
)  # fmt: skip


def check_output(text: str) -> Valid | Invalid:
    return Valid(json.dumps(text)) if text.startswith("ok") else Invalid(f"{text!r} is not ok")


def rules(budget: Budget = Budget()) -> Rules:  # noqa: B008  # frozen
    return Rules(MODEL, budget, EFFECTS, check_output)


@dataclass
class Driver:
    """Plays store and engine for one run. ``answers`` is what the model says, over and over; what its budget has no
    room for is ``refused``.
    """

    budget: Budget
    answers: Iterable[Turn]
    order: Random
    price: Decimal = Decimal("0.01")
    created: list[NextStep] = field(default_factory=list)
    conversation: dict[tuple[int, int], Message] = field(default_factory=dict)
    reasoned: list[tuple[NextStep, Turn]] = field(default_factory=list)
    refused: list[NextStep] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    end: Finish | GiveUp | None = None

    def run(self) -> "Driver":
        waiting, answers = [first_step(MODEL)], cycle(self.answers)
        self.created += waiting
        while self.end is None and waiting:
            step = waiting.pop(self.order.randrange(len(waiting)))
            if not self.fits(step):
                self.refused.append(step)
                continue
            plan = self.reason(step, next(answers)) if step.kind is StepKind.REASON else self.call(step)
            self.write(plan.messages)
            if isinstance(plan, Continue):
                born = [new for new in plan.steps if not (new.join and (waiting or self.refused))]
                waiting += born
                self.created += born
            else:
                self.end = plan
        assert self.end is None or not (waiting or self.refused), "the run ended over the head of an open step"
        assert self.end is not None or self.refused, "the loop stopped without an end"
        return self

    def fits(self, step: NextStep) -> bool:
        done, is_call = self.progress, step.kind is StepKind.TOOL
        calls = json.loads(step.input)["nth"] - 1 if is_call else done.tool_calls
        seq = next(n for n, created in enumerate(self.created) if created is step)
        left = self.budget.left(Amount(seq, calls, 0, done.usage.cost_usd))
        return left.lacks(Amount(1, int(is_call), 0, Decimal(0) if is_call else self.price)) is None

    def reason(self, step: NextStep, turn: Turn) -> Continue | Finish | GiveUp:
        said = {message_turn for message_turn, _ in self.conversation}
        assert said == set(range(1, step.turn)), "the model is asked before everything has been said"
        self.reasoned.append((step, turn))
        done = self.progress
        self.progress = Progress(done.steps + 1, done.tool_calls, done.usage + Usage(cost_usd=self.price))
        return after_reason(step.turn, turn, LoopState.loads(step.input), self.progress, rules(self.budget))

    def call(self, step: NextStep) -> Continue:
        done = self.progress
        self.progress = Progress(done.steps + 1, done.tool_calls + 1, done.usage)
        block = {"type": "tool_result", "tool_use_id": json.loads(step.input)["call_id"], "content": "done"}
        return after_tool(step.turn, step.part, json.dumps(block), MODEL)

    def write(self, messages: Iterable[Message]) -> None:
        for message in messages:
            key = message.turn, message.part
            assert key not in self.conversation, f"{key} is written twice"
            self.conversation[key] = message

    def parts(self, turn: int) -> list[Message]:
        return [message for (number, _), message in sorted(self.conversation.items()) if number == turn]

    def tools(self) -> list[NextStep]:
        return [step for step in self.created if step.kind is StepKind.TOOL]

    def episodes(self) -> Iterator[list[tuple[NextStep, Turn]]]:
        """The reason steps between two rounds of tool calls."""
        episode: list[tuple[NextStep, Turn]] = []
        for step, turn in self.reasoned:
            episode.append((step, turn))
            if turn.stop_reason == "tool_use":
                yield episode
                episode = []
        if episode:
            yield episode


arguments = st.sampled_from(
    [
        "{}",
        '{ "b":1,  "a":2 }',
        '{"n":1.50,"m":1E2}',
        '{"a":1,"a":2}',
        '{"s":"\\u00e9\\/"}',
        '{"n":123456789012345678901}',
    ]
) | st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=6), max_size=2).map(json.dumps)
tool_uses = st.lists(
    st.builds(ToolUse, st.text(min_size=1, max_size=6), st.sampled_from([*EFFECTS, "unheard_of"]), arguments),
    max_size=4,
    unique_by=lambda use: use.call_id,
).map(tuple)
USES = tuple(ToolUse(f"toolu_{name}", name, "{}") for name in ("pay", "unheard_of", "book", "look"))
SAID = '[{"type": "text", "text": "n\u00e9"}]'
TURNS = [
    Turn(stop_reason, SAID, text, USES[:calls])
    for stop_reason in (*STOP_REASONS, "tool_use", "pause_turn", "max_tokens")  # those that go on come up more often
    for text in ("ok", "no", "")
    for calls in range(len(USES) + 1)
]
turns = st.sampled_from(TURNS)
budgets = st.builds(
    Budget,
    max_steps=st.integers(1, 20),
    max_tool_calls=st.none() | st.integers(1, 12),
    max_cost_usd=st.none() | st.decimals("0.005", "0.2", places=3),
)
answer_lists = st.lists(turns, min_size=1, max_size=8)
orders = st.randoms(use_true_random=False)
drives = st.builds(Driver, budgets, answer_lists, orders)


def turn_of(stop_reason: str, text: str = "", *uses: ToolUse, **more: Any) -> Turn:
    return Turn(stop_reason, '[{"type": "text"}]', text, uses, **more)


def reason_step(number: int, state: LoopState) -> NextStep:
    return NextStep(StepKind.REASON, MODEL, number, input=state.dumps())


FRESH, REASKED, GROWN, FULL = LoopState(), LoopState(reasks=1), LoopState(growth=1), LoopState(growth=2)
