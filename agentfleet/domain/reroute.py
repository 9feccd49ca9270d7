"""The models in a plan: the plan says what comes next, this says which model it is for.

A turn is finished by the model that began it. Which one the next turn is for is known as soon as tools are called: each
tool step carries it (``model``) to the reason step that it may create, where it is not the agent's main model. What the
run has given up on (``avoid``) travels the same way, as a model that has failed once is not asked again by this run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agentfleet.domain.errors import ProviderError
from agentfleet.domain.model import Claimed, NextStep, StepKind
from agentfleet.domain.plan import Continue, GiveUp, Plan, Rules
from agentfleet.domain.routing import gives_way, instead, is_bound, pick


def routed(plan: Plan, claimed: Claimed, rules: Rules, prompt_tokens: int) -> Plan:
    """``plan``, which follows the reason step ``claimed``, with its models.

    ``prompt_tokens`` is the size of the conversation with the new turn. A refusal, which ends a run, is put to another
    model where one may stand in.
    """
    if isinstance(plan, GiveUp) and plan.kind == "refusal":
        step = stand_in(claimed, rules)
        return plan if step is None else Continue((step,))
    if not isinstance(plan, Continue):
        return plan
    avoid = avoided(claimed.input)
    tools = [step.name for step in plan.steps if step.kind is StepKind.TOOL]
    turn = max((step.turn for step in plan.steps), default=0) + 1
    chosen = pick(rules.model, rules.routes, turn, tools=tools, prompt_tokens=prompt_tokens)
    model = instead(chosen, rules.fallbacks, avoid)
    steps = tuple(
        _carrying(step, {"model": model} if model != rules.model else {}, avoid)
        if step.kind is StepKind.TOOL
        else _carrying(replace(step, name=claimed.name), {}, avoid)
        for step in plan.steps
    )
    return replace(plan, steps=steps)


def next_model(call: Mapping[str, Any], main: str) -> str:
    """Which model reads the result of a tool step; ``call`` is that step's input."""
    return str(call.get("model") or main)


def carried(plan: Continue, call: Mapping[str, Any]) -> Continue:
    """``plan``, which follows a tool step, with what the run has given up on."""
    avoid = tuple(call.get("avoid") or ())
    return replace(plan, steps=tuple(_carrying(step, {}, avoid) for step in plan.steps))


def stand_in(claimed: Claimed, rules: Rules, error: ProviderError | None = None) -> NextStep | None:
    """The step that asks another model in place of this one, if one may stand in.

    Not in a conversation that holds thinking: the other model would drop it. ``error`` is why this one failed; none
    where it refused.
    """
    if is_bound(claimed.conversation) or (error is not None and not gives_way(error)):
        return None
    avoid = (*avoided(claimed.input), claimed.name)
    model = instead(claimed.name, rules.fallbacks, avoid)
    if model == claimed.name:
        return None
    return _carrying(NextStep(StepKind.REASON, model, claimed.turn, input=claimed.input), {}, avoid)


def avoided(text: str) -> tuple[str, ...]:
    """The models that the run has given up on, out of a step's input."""
    return tuple(json.loads(text).get("avoid", ())) if "avoid" in text else ()


def _carrying(step: NextStep, more: Mapping[str, Any], avoid: Sequence[str]) -> NextStep:
    """The step, with this in front of its input, whose own text stays as it is: arguments are kept verbatim."""
    carried = {**more, **({"avoid": list(avoid)} if avoid else {})}
    if not carried:
        return step
    if step.kind is StepKind.REASON:
        return replace(step, input=json.dumps({**json.loads(step.input), **carried}))
    return replace(step, input=f"{json.dumps(carried, ensure_ascii=False)[:-1]},{step.input[1:]}")
