"""Reserve: before a step calls the model or a tool, the worst case of that call must fit into every budget.

Its run's own ceilings are compared here, without a question: a step knows which step and which call of the run it is,
and model calls of a run follow each other. What others spend from, too (a run that has children, the tenant's day), is
reserved in Postgres; the settlement of the step, however it ends, releases it.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from agentfleet.domain.budget import Amount, Budget, CallPrice, Left, alerts, budget_from_json, model_call
from agentfleet.domain.errors import BudgetExceeded, LeaseLost
from agentfleet.domain.model import Bundle, Claimed, Event, Settlement
from agentfleet.domain.settlement import EventType
from agentfleet.engine.batcher import Batcher
from agentfleet.engine.ports import Prices
from agentfleet.store import budgets
from agentfleet.store.budgets import Answer, Ask
from agentfleet.store.database import LOST_CONNECTION, Database

log = structlog.get_logger("agentfleet.budget")

BYTES_PER_TOKEN = 2
"""Fewer than any usual text has: what a prompt holds that was never counted is taken for more than it is."""
RECONNECT_DELAY = 0.5
"""Seconds between tries while the database is away; the lease decides how long."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """What a step may do: ``room`` tokens of answer; what is ``left`` beside it."""

    budget: Budget
    used: Amount
    left: Left
    room: int = 0

    def warned(self, done: Settlement) -> Settlement:
        """With an event for every ceiling of the run of which this step has used up four fifths."""
        spent = Amount(1, done.tool_calls, done.usage.work_tokens, done.usage.cost_usd)
        found = alerts(self.budget, self.used, self.used + spent)
        if not found:
            return done
        return replace(done, events=(Event(EventType.RUN_BUDGET_ALERT, json.dumps(found)), *done.events))


class Reserver:
    """Reserves for the steps of one worker process; concurrent ones share a statement."""

    def __init__(self, db: Database, prices: Prices) -> None:
        self._db, self._prices = db, prices
        self._batch: Batcher[Ask, Answer | None] = Batcher(self._reserve, max_flushes=1)

    async def model_call(
        self, claimed: Claimed, bundle: Bundle, budget: Budget, asked: int, still_ours: Callable[[], None]
    ) -> Reserved:
        """Room for an answer of ``asked`` tokens, or less where the run's own budget pays for no more.

        Raises ``BudgetExceeded``, or ``LeaseLost`` when the step is no longer ours.
        """
        budget, used = _now(claimed, budget, claimed.progress.tool_calls)
        left = budget.left(used)
        if not claimed.metered and left.tokens is None and left.cost_usd is None:
            room, need = asked, Amount(1)
        else:
            tokens, price = self._prompt(claimed, bundle)
            room, need = model_call(left, asked=asked, prompt_tokens=tokens, price=price)
        return replace(await self._hold(claimed, budget, used, need, still_ours), room=room)

    async def tool_call(self, claimed: Claimed, budget: Budget, nth: int, still_ours: Callable[[], None]) -> Reserved:
        """Leave for the ``nth`` tool call of the run; raises as ``model_call`` does."""
        budget, used = _now(claimed, budget, nth - 1)
        return await self._hold(claimed, budget, used, Amount(1, 1), still_ours)

    async def _hold(
        self, claimed: Claimed, budget: Budget, used: Amount, need: Amount, still_ours: Callable[[], None]
    ) -> Reserved:
        left = budget.left(used)
        if (ceiling := left.lacks(need)) is not None:
            raise _refused(ceiling, f"run/{claimed.run_id}", need)
        if claimed.metered:
            answer = await self._ask(Ask(claimed.step_id, claimed.tenant_id, claimed.fence, need), still_ours)
            if answer.outcome != "held":
                raise _refused(answer.ceiling or "", answer.budget or "", need, answer)
            left = left.tightest(answer.left)
        return Reserved(budget, used, left.without(need))

    async def _ask(self, ask: Ask, still_ours: Callable[[], None]) -> Answer:
        while True:
            still_ours()
            try:
                answer = await self._batch(ask)
            except LOST_CONNECTION as error:
                log.warning("reserve_failed", error=str(error))
                await asyncio.sleep(RECONNECT_DELAY)
                continue
            if answer is None:
                raise LeaseLost("the step was ended or taken back before it began")
            if answer.outcome == "closed":
                await budgets.open_day(self._db, [ask.tenant_id])
            elif answer.outcome != "again":
                return answer

    async def _reserve(self, asks: Sequence[Ask]) -> Sequence[Answer | None]:
        found = await budgets.reserve(self._db, asks)
        return [found.get(ask.step_id) for ask in asks]

    def _prompt(self, claimed: Claimed, bundle: Bundle) -> tuple[int, CallPrice | None]:
        """How long the prompt is at most, and what the call may cost."""
        spec = bundle.spec
        if claimed.prompt_tokens is None:
            known, unread = 0, json.dumps([spec["instructions"], spec["tools"], spec["output_schema"]])
            news = [message.content for message in claimed.conversation]
        else:
            known, unread = claimed.prompt_tokens, ""
            said = max((message.turn for message in claimed.conversation if message.role == "assistant"), default=-1)
            news = [message.content for message in claimed.conversation if message.turn > said]
        size = len(unread.encode()) + sum(len(text.encode()) for text in news)
        tokens = known + size // BYTES_PER_TOKEN
        return tokens, self._prices(claimed.name, tokens, cached=bool(spec.get("cache")))


def _now(claimed: Claimed, budget: Budget, tool_calls: int) -> tuple[Budget, Amount]:
    """The run's ceilings as they are by now, and what it had used when this step's turn came."""
    if claimed.budget is not None:
        budget = budget_from_json(json.loads(claimed.budget))
    spent = claimed.progress.usage
    return budget, Amount(claimed.seq, tool_calls, spent.work_tokens, spent.cost_usd)


def _refused(ceiling: str, budget: str, need: Amount, answer: Answer | None = None) -> BudgetExceeded:
    """Room that others only hold comes back soon, a tenant's day with the next one, a run's when somebody raises it."""
    needed = getattr(need, ceiling.removeprefix("max_"), None)
    what = f"the worst case of this step ({needed}) is more than {ceiling} of {budget} has left"
    if answer is not None and answer.outcome == "busy":
        return BudgetExceeded(f"{what} beside what is under way", retry_after=0.0, budget=budget, ceiling=ceiling)
    if budget.startswith(budgets.DAY) and answer is not None:
        return BudgetExceeded(f"{what} today", retry_after=answer.day_ends, budget=budget, ceiling=ceiling)
    return BudgetExceeded(f"{what}: raise it to go on", budget=budget, ceiling=ceiling)
