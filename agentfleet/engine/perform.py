"""Perform: the work of one claimed step, as a settlement. Knows the agent loop and the ports; writes nothing."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
import structlog

from agentfleet import failpoints
from agentfleet.domain import reroute, settlement
from agentfleet.domain.batch import LANE
from agentfleet.domain.errors import (
    BudgetExceeded,
    EffectUnknown,
    LeaseLost,
    ProviderBusy,
    ProviderError,
    ProviderUnavailable,
    StepError,
    StepTimeout,
    ToolRetry,
    Unserviceable,
)
from agentfleet.domain.model import Bundle, Claimed, Settlement, StepKind
from agentfleet.domain.plan import Continue, LoopState, Rules, after_reason, after_tool
from agentfleet.domain.retry import RetryPolicy
from agentfleet.domain.verdicts import Verdict, classify
from agentfleet.engine import tally
from agentfleet.engine.batch import BatchLane, Wait
from agentfleet.engine.budget import Reserver
from agentfleet.engine.ports import Deltas, Reasoned, Reasoner, ReasonRequest, Toolbox, ToolResult
from agentfleet.store.bundles import Bundles
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.step")

REASON = failpoints.declare("reason", lambda: ProviderUnavailable("failpoint reason"))
TOOL = failpoints.declare("tool", lambda: RuntimeError("failpoint tool"))
CACHE_HIT = '{"agentfleet":{"cache":"hit"}}'
"""The raw usage of a tool call that was not made."""


class Performer:
    """Performs steps of either kind. ``policy`` says how failures are tried again, ``reason_timeout`` is in seconds."""

    def __init__(
        self,
        bundles: Bundles,
        reasoner: Reasoner,
        toolbox: Toolbox,
        deltas: Deltas,
        policy: RetryPolicy,
        *,
        reason_timeout: float,
        reserve: Reserver,
        lane: BatchLane | None = None,
    ) -> None:
        self._bundles, self._reasoner, self._toolbox, self._deltas = bundles, reasoner, toolbox, deltas
        self._policy, self._reason_timeout, self._reserve = policy, reason_timeout, reserve
        self._lane = lane

    async def __call__(self, claimed: Claimed, still_ours: Callable[[], None]) -> Settlement:
        """Do the work and say how the attempt ended. ``still_ours`` raises ``LeaseLost`` before a side effect."""
        started = time.monotonic()
        policy = self._policy
        try:
            bundle = await self._bundles.load(claimed.bundle_id)
            policy = replace(policy, max_attempts=bundle.spec["max_attempts"] or policy.max_attempts)
            perform = self._reason if claimed.kind is StepKind.REASON else self._call_tool
            done = await perform(claimed, bundle, still_ours)
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001  # the verdict table decides what it was
            done = self.failed(claimed, error, policy)
        metrics.STEP_DURATION.labels(claimed.kind.value).observe(time.monotonic() - started)
        tally.attempt_ended(claimed, done)
        return done

    def failed(self, claimed: Claimed, error: BaseException, policy: RetryPolicy | None = None) -> Settlement:
        """The settlement of an attempt that ended with ``error``."""
        done = settlement.failed(claimed, error, policy or self._policy, jitter=random.random())
        verdict = classify(error)
        if verdict is Verdict.UNCLASSIFIED:
            metrics.UNCLASSIFIED.labels(type(error).__name__).inc()
        level = log.debug if isinstance(error, ProviderBusy) else log.warning  # waiting for room is nobody's failure
        level(
            "step_failed",
            verdict=done.verdict,
            outcome=done.event.value,
            delay=done.delay,
            error=str(error)[:500],
            error_type=type(error).__name__,
            exc_info=error if not isinstance(error, StepError) else None,
        )
        return done

    async def _reason(self, claimed: Claimed, bundle: Bundle, still_ours: Callable[[], None]) -> Settlement:
        rules = self._toolbox.rules(bundle)
        state = LoopState.loads(claimed.input)
        asked = int(bundle.spec["max_tokens"]) << state.growth
        in_lane = self._lane if claimed.lane == LANE else None
        try:
            reserved = await self._reserve.model_call(claimed, bundle, rules.budget, asked, still_ours)
        except BudgetExceeded:
            paid = None if in_lane is None else await in_lane.answered(claimed)
            if paid is None:
                raise
            return _said(claimed, paid, state, rules)  # the money is gone: now it is told
        request = ReasonRequest(
            bundle,
            claimed.conversation,
            reserved.room,
            claimed.run_id,
            claimed.step_id,
            model=claimed.name,
            tenant_id=claimed.tenant_id,
            account=claimed.account,
            prompt_tokens=claimed.prompt_tokens,
            prompt_age=claimed.prompt_age,
            lane=claimed.lane,
        )
        try:
            batched = None if in_lane is None else await in_lane(claimed)
            if isinstance(batched, Wait):
                return settlement.snoozed(claimed, batched.seconds, LANE)
            reasoned = batched or await self._ask(request, still_ours)
        except ProviderError as error:
            if (step := reroute.stand_in(claimed, rules, error)) is None:
                raise
            log.warning("rerouted", model=claimed.name, to=step.name, error=str(error)[:500])
            return settlement.gave_way(claimed, error, step)
        return reserved.warned(_said(claimed, reasoned, state, rules))

    async def _ask(self, request: ReasonRequest, still_ours: Callable[[], None]) -> Reasoned:
        """Call the model."""
        still_ours()
        try:
            async with asyncio.timeout(self._reason_timeout):
                on_text = self._deltas.writer(request.run_id, request.step_id)
                return await REASON.around(lambda: self._reasoner.reason(request, on_text))
        except TimeoutError:
            seconds = f"{self._reason_timeout:g} s (AGENTFLEET_REASON_TIMEOUT)"
            raise StepTimeout(f"the model call took longer than {seconds}") from None

    async def _call_tool(self, claimed: Claimed, bundle: Bundle, still_ours: Callable[[], None]) -> Settlement:
        call = json.loads(claimed.input)  # not orjson: it turns integers beyond 64 bits into floats
        if "given" in call:  # by a human, who knows what happened: nothing is called
            return settlement.succeeded(claimed, _answered(claimed, bundle, call, ToolResult(**call["given"])))
        nth = call.get("nth", claimed.progress.tool_calls + 1)  # not there: planned by a release before 0.4
        reserved = await self._reserve.tool_call(claimed, self._toolbox.rules(bundle).budget, nth, still_ours)
        claimed = replace(claimed, left=reserved.left)
        still_ours()
        if claimed.effect == "unsafe":  # a restore of the database to an earlier time does not undo this line
            log.info("unsafe_call", tool=claimed.name, call_id=call["call_id"])
        try:
            result = await TOOL.around(lambda: self._toolbox.call(claimed, call["call_id"], call["arguments"]))
        except (LeaseLost, ToolRetry, Unserviceable, EffectUnknown):
            raise  # these say for themselves whether it happened
        except Exception as error:
            raise interrupted(claimed, error) from error
        metrics.TOOL_CALLS.labels(
            claimed.name if claimed.effect else "unknown", "error" if result.is_error else "ok"
        ).inc()
        plan = _answered(claimed, bundle, call, result)
        raw = CACHE_HIT if result.cached else None
        return reserved.warned(settlement.succeeded(claimed, plan, usage_raw=raw, cached=result.cached))


def _said(claimed: Claimed, reasoned: Reasoned, state: LoopState, rules: Rules) -> Settlement:
    """The settlement of a step to which the model has answered."""
    planned = after_reason(claimed.turn, reasoned.turn, state, claimed.progress, rules)
    plan = reroute.routed(planned, claimed, rules, reasoned.usage.context_tokens)
    return settlement.succeeded(
        claimed,
        plan,
        usage=reasoned.usage,
        usage_raw=reasoned.usage_raw,
        request_id=reasoned.request_id,
        account=reasoned.account,
        cached=reasoned.cached,
    )


def _answered(claimed: Claimed, bundle: Bundle, call: Mapping[str, Any], result: ToolResult) -> Continue:
    """What follows a tool call that has this result."""
    block = {"type": "tool_result", "tool_use_id": call["call_id"], "content": result.content}
    if result.is_error:
        block["is_error"] = True
    model = reroute.next_model(call, bundle.spec["model"])
    plan = after_tool(claimed.turn, claimed.part, orjson.dumps(block).decode(), model)
    return reroute.carried(plan, call)


def interrupted(claimed: Claimed, reason: BaseException) -> BaseException:
    """What cutting a step off means: an unsafe tool may have done its work already, and only a human can know."""
    if claimed.effect == "unsafe":
        return EffectUnknown(f"{claimed.name} was cut off: {reason}")
    return reason
