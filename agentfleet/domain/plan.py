"""The agent loop as a pure function: a finished step in, the next steps or the end of the run out.

One reason step, then one step per tool call (in parallel when the model asked for several), then, when the last of
them has settled, the next reason step. The loop keeps its own small state (``LoopState``) in the reason step's input,
so that a replay needs nothing but the row. What a step may spend is asked when it begins (``engine.budget``): a loop
that has reached a ceiling waits in its next step.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType

from agentfleet.domain.budget import Budget, Progress
from agentfleet.domain.model import Message, NextStep, StepKind
from agentfleet.domain.routing import Route

MAX_GROWTH = 2
"""A turn cut off by ``max_tokens`` is asked for again with twice, then four times the room."""
MAX_REASKS = 1
"""An answer of the wrong shape is explained to the model once; twice wrong is a failed run."""
MAX_NUDGES = 1
"""A model that ends its turn without a word, as happens after tool results, is told to continue once."""
MAX_PAUSES = 10
"""A turn that pauses (a tool of the provider's is at work) is continued so often in a row."""


GIVE_UPS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "model_context_window_exceeded": (
            "context_window",
            "the conversation no longer fits into the model's context window: begin again with less",
        ),
    }
)
"""Stop reasons that end the run: the error's class in the API, and a sentence."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One tool call that the model asked for. ``arguments`` is JSON text, as received."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One complete answer of the model. ``content`` is the JSON text of its content blocks, kept verbatim."""

    stop_reason: str
    content: str
    text: str
    tool_uses: tuple[ToolUse, ...] = ()
    category: str | None = None
    """Of a refusal: what it is about, in the provider's word."""
    at_limit: bool = False
    """It had all the room that its model can give: asking for more is a mistake."""


@dataclass(frozen=True, slots=True)
class Valid:
    """The output of the run, as JSON text."""

    output: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """Why the model's text is not a valid output, in words that the model can act on."""

    problem: str


@dataclass(frozen=True, slots=True)
class LoopState:
    """What the loop remembers between reason steps."""

    reasks: int = 0
    growth: int = 0
    nudges: int = 0
    pauses: int = 0

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> "LoopState":
        values = json.loads(text)
        return cls(**{field.name: int(values.get(field.name, 0)) for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Rules:
    """What the loop may do for one agent: its model, its ceilings, the effect of each tool."""

    model: str
    budget: Budget
    effects: Mapping[str, str]
    check_output: Callable[[str], Valid | Invalid]
    routes: tuple[Route, ...] = ()
    fallbacks: tuple[str, ...] = ()
    """Models that stand in for one that cannot answer (``domain.reroute``)."""


@dataclass(frozen=True, slots=True)
class Continue:
    """The run goes on with ``steps``."""

    steps: tuple[NextStep, ...]
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """The run has its ``output``, a JSON text."""

    output: str
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The run ends as failed: ``kind`` is the error's class in the API, ``reason`` a sentence."""

    kind: str
    reason: str
    messages: tuple[Message, ...] = ()


Plan = Continue | Finish | GiveUp


def first_step(model: str) -> NextStep:
    """The reason step that a new run starts with; the user's input is turn 0."""
    return NextStep(StepKind.REASON, model, turn=1, input=LoopState().dumps())


def after_reason(turn_no: int, turn: Turn, state: LoopState, progress: Progress, rules: Rules) -> Plan:
    """What follows a finished reason step. ``progress`` is that of the run before it."""
    said = Message(turn_no, 0, "assistant", turn.content)
    match turn.stop_reason:
        case "tool_use" if turn.tool_uses:
            return _call_tools(turn_no, turn, said, progress, rules.effects)
        case "end_turn" | "stop_sequence":
            return _answered(turn_no, turn, said, state, rules)
        case "pause_turn":
            return _paused(said, state, rules)
        case "max_tokens":
            return _cut_off(turn_no, turn, said, state, rules)
        case "refusal":
            return _refused(turn, said)
        case reason:
            kind, why = GIVE_UPS.get(
                reason, ("unknown_stop_reason", f"the model stopped for an unknown reason: {reason!r}")
            )
            return GiveUp(kind, why, (said,))


def after_tool(turn_no: int, part: int, result: str, model: str) -> Continue:
    """What follows a finished tool call: its result joins the turn, and the last one of the turn wakes the model.

    ``result`` is the JSON text of one ``tool_result`` block.
    """
    answer = Message(turn_no, part, "user", f"[{result}]")
    return Continue((NextStep(StepKind.REASON, model, turn_no + 1, input=LoopState().dumps(), join=True),), (answer,))


def _call_tools(turn_no: int, turn: Turn, said: Message, progress: Progress, effects: Mapping[str, str]) -> Continue:
    calls = tuple(
        NextStep(
            StepKind.TOOL,
            use.name,
            turn_no + 1,
            part,
            # Which call of the run it is: they run at once, and none has to ask the others whether it is one too many.
            input=f'{{"call_id":{json.dumps(use.call_id)},"nth":{progress.tool_calls + part + 1},'
            f'"arguments":{use.arguments}}}',
            effect=effects.get(use.name),
        )
        for part, use in enumerate(turn.tool_uses)
    )
    return Continue(calls, (said,))


def _reason_again(state: LoopState, messages: tuple[Message, ...], rules: Rules) -> Continue:
    turn = messages[-1].turn + 1
    return Continue((NextStep(StepKind.REASON, rules.model, turn, input=state.dumps()),), messages)


def _answered(turn_no: int, turn: Turn, said: Message, state: LoopState, rules: Rules) -> Plan:
    """A turn that is over: its text is the output, if it says something and that is valid."""
    if not turn.text.strip() and state.nudges < MAX_NUDGES:
        nudged = replace(state, nudges=state.nudges + 1)
        return _reason_again(nudged, (said, _user(turn_no + 1, "Continue.")), rules)
    match rules.check_output(turn.text):
        case Valid(output):
            return Finish(output, (said,))
        case Invalid(problem) if state.reasks < MAX_REASKS:
            reask = replace(state, reasks=state.reasks + 1)
            return _reason_again(reask, (said, _correction(turn_no + 1, problem)), rules)
        case Invalid(problem):
            return GiveUp("invalid_output", problem, (said,))


def _paused(said: Message, state: LoopState, rules: Rules) -> Plan:
    """A turn that goes on when it is sent back as it is."""
    if state.pauses >= MAX_PAUSES:
        return GiveUp("pause_turn", f"the turn paused again after being continued {MAX_PAUSES} times", (said,))
    return _reason_again(replace(state, pauses=state.pauses + 1), (said,), rules)


def _cut_off(turn_no: int, turn: Turn, said: Message, state: LoopState, rules: Rules) -> Plan:
    """A turn that had too little room. It is not kept when it is asked for again: a call in it may be half a call."""
    if state.growth >= MAX_GROWTH or turn.at_limit:
        room = "all that the model can say at once" if turn.at_limit else "max_tokens, enlarged twice"
        return GiveUp("max_tokens", f"the answer did not fit into {room}", (said,))
    grown = replace(state, growth=state.growth + 1)
    return Continue((NextStep(StepKind.REASON, rules.model, turn_no, input=grown.dumps()),))


def _refused(turn: Turn, said: Message) -> GiveUp:
    """The same model would refuse again: it is not asked."""
    about = f" (category: {turn.category})" if turn.category else ""
    return GiveUp("refusal", f"the model refused to go on{about}", (said,))


def _correction(turn: int, problem: str) -> Message:
    return _user(turn, f"That answer is not valid: {problem}\nAnswer again, with nothing but the corrected answer.")


def _user(turn: int, text: str) -> Message:
    return Message(turn, 0, "user", json.dumps([{"type": "text", "text": text}], ensure_ascii=False))
