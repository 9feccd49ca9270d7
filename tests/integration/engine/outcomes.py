"""Settlements as a worker would decide them, for steps that a test has claimed."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agentfleet.domain import settlement
from agentfleet.domain.budget import Usage
from agentfleet.domain.model import Claimed, Message, NextStep, Settlement, StepKind
from agentfleet.domain.plan import Continue, Finish, GiveUp, LoopState, after_tool
from agentfleet.domain.retry import RetryPolicy
from agentfleet.engine.settle import Settler
from agentfleet.store.database import Database
from tests.factories import AGENT, EFFECTS, MODEL, Made, step_row
from tests.scripted import Bells

USAGE = Usage(7, 5, 3, 2, Decimal("0.25"))


@dataclass(frozen=True)
class Held:
    """A made step as its worker holds it: what a settlement needs to know."""

    step_id: str
    run_id: str
    fence: int
    kind: StepKind = StepKind.TOOL
    name: str = "look"
    agent: str = AGENT
    seq: int = 0
    turn: int = 2
    part: int = 0
    attempt: int = 1
    crashes: int = 0
    snoozes: int = 0
    effect: str | None = None


def held(made: Made, part: int = 0, **more: Any) -> Held:
    return Held(made.step_id, made.run_id, made.fence, part=part, seq=part, **more)


def finished(step: Claimed | Held, output: str = '"done"') -> Settlement:
    """The model has answered: the run ends."""
    said = Message(step.turn, 0, "assistant", '[{"type":"text","text":"done"}]')
    return settlement.succeeded(step, Finish(output, (said,)), usage=USAGE, usage_raw="{}", request_id="req_1")


def gave_up(step: Claimed | Held) -> Settlement:
    """The loop ends its run as failed."""
    return settlement.succeeded(step, GiveUp("tired", "enough"))


def asked_for(step: Claimed | Held, *tools: str) -> Settlement:
    """The model asks for tools."""
    said = Message(step.turn, 0, "assistant", json.dumps([{"type": "tool_use", "name": name} for name in tools]))
    steps = tuple(
        NextStep(StepKind.TOOL, name, step.turn + 1, part, '{"call_id":"c","arguments":{}}', EFFECTS.get(name))
        for part, name in enumerate(tools)
    )
    return settlement.succeeded(step, Continue(steps, (said,)), usage=USAGE, usage_raw="{}")


def asked_again(step: Claimed | Held) -> Settlement:
    """The model has to be asked again, at once."""
    again = NextStep(StepKind.REASON, MODEL, step.turn, input=LoopState(growth=1).dumps())
    return settlement.succeeded(step, Continue((again,)), usage=USAGE)


def returned(step: Claimed | Held, text: str = "ok") -> Settlement:
    """The tool has returned."""
    block = json.dumps({"type": "tool_result", "content": text})
    return settlement.succeeded(step, after_tool(step.turn, step.part, block, MODEL))


def failed(step: Claimed | Held, error: BaseException, *, max_attempts: int = 5, rescue: bool = False) -> Settlement:
    """The attempt failed; delays are half their bound."""
    return settlement.failed(step, error, RetryPolicy(max_attempts), jitter=0.5, rescue=rescue)


async def settle(db: Database, *outcomes: Settlement, bells: Bells | None = None) -> list[bool]:
    """Write them one after another; which were ours to write."""
    settler = Settler(db, bells or Bells(), window=1000)
    return [await settler(outcome, "test:1") for outcome in outcomes]


async def hold_again(db: Database, step_id: str) -> Held:
    """A made step as the worker that runs it now holds it."""
    row = await step_row(db, step_id)
    return Held(
        step_id,
        str(row.run_id),
        row.fence,
        StepKind(row.kind),
        row.name,
        row.agent,
        row.seq,
        row.turn,
        row.part,
        row.attempt,
        row.crashes,
        row.snoozes,
        row.effect,
    )
