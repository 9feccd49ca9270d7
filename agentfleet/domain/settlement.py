"""How an attempt ends, as a value: everything that ``engine.settle`` writes is decided here, purely."""

import json
import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol, assert_never

from agentfleet.domain.budget import Usage
from agentfleet.domain.errors import ProviderError, StepError
from agentfleet.domain.fingerprint import fingerprint
from agentfleet.domain.model import Claimed, Event, NextStep, RunEnd, Settlement, StepKind
from agentfleet.domain.plan import Continue, Finish, GiveUp, Plan
from agentfleet.domain.retry import ALONE, Bury, Company, HandBack, RetryAfter, RetryPolicy, SnoozeFor, decide
from agentfleet.domain.states import RunEvent, StepEvent, StepState, step_after
from agentfleet.domain.verdicts import Verdict, classify

MAX_ERROR_CHARS = 4_000
"""An error is evidence for humans; a megabyte of it is a denial of service."""


class EventType(StrEnum):
    """Every line that a run's event stream may have; clients ignore the ones they do not know."""

    RUN_QUEUED = "run.queued"
    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    RUN_EXPIRED = "run.expired"
    RUN_NEEDS_REVIEW = "run.needs_review"
    RUN_BUDGET_CHANGED = "run.budget_changed"
    RUN_BUDGET_ALERT = "run.budget_alert"
    """Four fifths of a ceiling of the run are used."""
    STEP_SUCCEEDED = "step.succeeded"
    STEP_REROUTED = "step.rerouted"
    """Its model did not answer, or refused: another step asks another one."""
    STEP_RETRYING = "step.retrying"
    STEP_SNOOZED = "step.snoozed"
    STEP_HANDED_BACK = "step.handed_back"
    STEP_DEAD = "step.dead"
    STEP_REPLAYED = "step.replayed"
    STEP_SKIPPED = "step.skipped"


class Attempted(Protocol):
    """What must be known of an attempt to end it: a claim has it, and so has an expired lease."""

    @property
    def step_id(self) -> str: ...
    @property
    def run_id(self) -> str: ...
    @property
    def agent(self) -> str: ...
    @property
    def kind(self) -> StepKind: ...
    @property
    def name(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def fence(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def crashes(self) -> int: ...
    @property
    def snoozes(self) -> int: ...


def succeeded(
    claimed: Claimed,
    plan: Plan,
    *,
    usage: Usage | None = None,
    usage_raw: str | None = None,
    request_id: str | None = None,
    account: str | None = None,
    cached: bool = False,
) -> Settlement:
    """The attempt did its work; ``plan`` says what follows. ``account`` is the provider's that answered.

    ``cached``: with an answer or a result that was given before.
    """
    spent = usage or Usage()
    more: dict[str, Any] = {}
    if claimed.kind is StepKind.REASON:
        more = {
            "input_tokens": spent.input_tokens,
            "output_tokens": spent.output_tokens,
            "cost_usd": str(spent.cost_usd),
        }
    if cached:
        more["cached"] = True
    events = [_step_event(EventType.STEP_SUCCEEDED, claimed, more)]
    run: RunEnd | None = None
    match plan:
        case Continue(steps) if turned_to := _other_model(claimed, steps):
            events.append(_step_event(EventType.STEP_REROUTED, claimed, {"to": turned_to, "why": "refusal"}))
        case Continue():
            pass
        case Finish(output):
            run = RunEnd(RunEvent.SUCCEED, output=output)
            events.append(Event(EventType.RUN_SUCCEEDED, "{}"))
        case GiveUp(kind, reason):
            error = json.dumps({"class": kind, "message": reason})
            run = RunEnd(RunEvent.FAIL, error=error)
            events.append(Event(EventType.RUN_FAILED, error))
        case _:
            assert_never(plan)
    return Settlement(
        claimed.step_id,
        claimed.run_id,
        claimed.fence,
        StepEvent.SUCCEED,
        step_after(StepState.RUNNING, StepEvent.SUCCEED),
        usage=spent,
        usage_raw=usage_raw,
        request_id=request_id,
        account=account,
        prompt_tokens=spent.context_tokens or None,
        tool_calls=int(claimed.kind is StepKind.TOOL),
        messages=plan.messages,
        steps=plan.steps if isinstance(plan, Continue) else (),
        events=tuple(events),
        run=run,
    )


def gave_way(claimed: Claimed, error: ProviderError, step: NextStep) -> Settlement:
    """The model cannot answer, and another one is asked by ``step``, in place of this one. Costs no attempt."""
    verdict = classify(error)
    described = describe(error, verdict)
    return Settlement(
        claimed.step_id,
        claimed.run_id,
        claimed.fence,
        StepEvent.CANCEL,
        step_after(StepState.RUNNING, StepEvent.CANCEL),
        spent=False,
        verdict=verdict.value,
        error=json.dumps(described),
        request_id=error.request_id,
        usage=error.usage or Usage(),
        usage_raw=_half(error),
        steps=(step,),
        events=(_step_event(EventType.STEP_REROUTED, claimed, {"to": step.name, "why": described["class"]}),),
    )


def failed(
    attempted: Attempted,
    error: BaseException,
    policy: RetryPolicy,
    *,
    jitter: float,
    rescue: bool = False,
    company: Company = ALONE,
) -> Settlement:
    """The attempt failed with ``error``; the verdict table and the retry policy say what follows.

    ``rescue``: by the reconciler, if the lease is still over; ``company`` is who else may have killed the worker.
    """
    verdict = classify(error)
    crashed = verdict is Verdict.CRASHED
    decision = decide(
        verdict,
        policy,
        kind=attempted.kind,
        attempt=attempted.attempt,
        snoozes=attempted.snoozes,
        crashes=attempted.crashes + crashed,
        jitter=jitter,
        retry_after=_seconds(getattr(error, "retry_after", None)),
        company=company,
    )
    final = decision.verdict if isinstance(decision, Bury) else verdict
    described = describe(error, final)
    text = json.dumps(described)
    event, event_type, delay, blocked_on, run = StepEvent.BURY, EventType.STEP_DEAD, None, None, None
    match decision:
        case RetryAfter(seconds):
            event, event_type, delay, blocked_on = StepEvent.RETRY, EventType.STEP_RETRYING, seconds, "timer"
        case SnoozeFor(seconds, reason):
            event, event_type, delay, blocked_on = StepEvent.SNOOZE, EventType.STEP_SNOOZED, seconds, reason
        case HandBack():
            event, event_type = StepEvent.HAND_BACK, EventType.STEP_HANDED_BACK
        case Bury():
            run = RunEnd(RunEvent.REVIEW, error=text)
        case _:
            assert_never(decision)
    need = error.need if isinstance(error, ProviderError) and blocked_on == "provider" else None
    events = [_step_event(event_type, attempted, {"verdict": final.value, "error": described["class"], "delay": delay})]
    if run is not None:
        events.append(Event(EventType.RUN_NEEDS_REVIEW, text))
    return Settlement(
        attempted.step_id,
        attempted.run_id,
        attempted.fence,
        event,
        step_after(StepState.RUNNING, event),
        spent=isinstance(decision, RetryAfter | Bury) and not crashed,
        crashed=crashed,
        snoozed=isinstance(decision, SnoozeFor),
        expired_only=rescue,
        delay=delay,
        blocked_on=blocked_on,
        bucket=need.bucket if need else None,
        input_estimate=need.input_tokens if need else None,
        output_estimate=need.output_tokens if need else None,
        verdict=final.value,
        fingerprint=_fingerprint(attempted, described) if event is StepEvent.BURY else None,
        error=text,
        request_id=error.request_id if isinstance(error, ProviderError) else None,
        usage=(error.usage if isinstance(error, ProviderError) else None) or Usage(),
        usage_raw=_half(error),
        events=tuple(events),
        run=run,
    )


def snoozed(attempted: Attempted, seconds: float, blocked_on: str) -> Settlement:
    """The attempt did nothing, and nothing went wrong: the step waits for ``seconds`` at most, for ``blocked_on``."""
    event = _step_event(EventType.STEP_SNOOZED, attempted, {"blocked_on": blocked_on, "delay": seconds})
    return Settlement(
        attempted.step_id,
        attempted.run_id,
        attempted.fence,
        StepEvent.SNOOZE,
        step_after(StepState.RUNNING, StepEvent.SNOOZE),
        spent=False,
        snoozed=True,
        delay=seconds,
        blocked_on=blocked_on,
        events=(event,),
    )


def _half(error: BaseException) -> str | None:
    """What the provider had said of an answer that broke off; its cost counts like any other."""
    return json.dumps(error.detail["usage"]) if isinstance(error, ProviderError) and error.usage is not None else None


def describe(error: BaseException, verdict: Verdict) -> dict[str, Any]:
    """An error as JSON-safe evidence: class, verdict, message, detail."""
    message = _clean(str(error) or type(error).__name__)[:MAX_ERROR_CHARS].replace("\x00", "\ufffd")
    described: dict[str, Any] = {"class": _snake(type(error).__name__), "verdict": verdict.value, "message": message}
    if isinstance(error, StepError) and error.detail:
        text = _clean(json.dumps(error.detail, default=str, ensure_ascii=False)).replace("\\u0000", "\\ufffd")
        whole = len(text) <= MAX_ERROR_CHARS * 4
        described["detail"] = json.loads(text, parse_constant=str) if whole else {"cut": text[: MAX_ERROR_CHARS * 4]}
    return described


def _fingerprint(attempted: Attempted, described: Mapping[str, Any]) -> str:
    place = {"agent": attempted.agent, "kind": attempted.kind.value, "name": attempted.name}
    return fingerprint(described["verdict"], **place, error=described)


def _clean(text: str) -> str:
    """Without lone surrogates, which a file name may bring and no JSON parser of others accepts."""
    return text.encode("utf-8", "replace").decode()


def _other_model(claimed: Claimed, steps: Sequence[NextStep]) -> str | None:
    """The model that is asked for the same turn again, where it is another one."""
    same = (step.name for step in steps if (step.kind, step.turn) == (StepKind.REASON, claimed.turn))
    return next((name for name in same if claimed.kind is StepKind.REASON and name != claimed.name), None)


def _seconds(value: object) -> float | None:
    """``retry_after``, if it is one: exceptions of other libraries keep texts and dates under that name."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _step_event(event_type: EventType, attempted: Attempted, more: Mapping[str, Any]) -> Event:
    data = {
        "step_id": attempted.step_id,
        "seq": attempted.seq,
        "kind": attempted.kind.value,
        "name": attempted.name,
        "attempt": attempted.attempt,
        **{key: value for key, value in more.items() if value is not None},
    }
    return Event(event_type, json.dumps(data))


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))
