"""Replaying many: which dead letters a filter means, and what bringing them back may take."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Select, Text, func, select

from agentfleet.domain.model import StepKind
from agentfleet.domain.states import StepEvent
from agentfleet.store.database import Database
from agentfleet.store.dead_letters import REPLAYABLE_RUNS, Filter, is_signed
from agentfleet.store.reads import Record
from agentfleet.store.tables import attempts, dead_letters, runs, steps

SAMPLE = 200
"""Dead letters whose calls are looked at to estimate the cost of all."""
RECENT = 500
"""The tenant's newest runs, from which its agents' cost and pace are learned."""


@dataclass(frozen=True, slots=True)
class Survey:
    """``count`` dead letters in ``runs`` runs; ``newest`` is the largest id. ``unfit`` match, too, but what the model
    has said forbids the edit. ``cost_usd`` is that of one model call for each, ``seconds`` the time at the pace of the
    agents' busiest minute of late; ``None`` where nothing is known.
    """

    count: int
    runs: int
    unfit: int
    newest: str | None
    cost_usd: Decimal | None
    seconds: float | None


async def survey(db: Database, tenant_id: str, which: Filter, *, unsigned: bool) -> Survey:
    """What a replay of ``which`` means. ``unsigned``: only of runs whose history is bound to no instructions."""
    query = select(
        steps.c.agent,
        func.count().label("letters"),
        func.count().filter(is_signed()).label("signed"),
        func.count(dead_letters.c.run_id.distinct()).label("runs"),
        func.max(dead_letters.c.id.cast(Text)).label("newest"),
    )
    async with db.reading(tenant_id) as connection:
        found = (await connection.execute(_matching(query, which).group_by(steps.c.agent))).all()
        letters = {row.agent: row.letters - (row.signed if unsigned else 0) for row in found}
        count = sum(letters.values())
        call = await connection.scalar(_cost_of_a_call(tenant_id, which)) if count else None
        pace = {row.agent: row.pace for row in await connection.execute(_pace(tenant_id, list(letters)))}
    known = all(agent in pace for agent in letters)
    return Survey(
        count,
        sum(row.runs for row in found),
        sum(row.signed for row in found) if unsigned else 0,
        max((row.newest for row in found), default=None),
        None if call is None else call * count,
        max((letters[agent] * 60 / pace[agent] for agent in letters), default=0.0) if known else None,
    )


async def matching(db: Database, tenant_id: str, which: Filter, *, limit: int) -> Sequence[Record]:
    """The oldest of them: ``id``, ``kind`` of the step, ``bundle_id`` of the run."""
    query = _matching(select(dead_letters.c.id, steps.c.kind, runs.c.bundle_id), which)
    async with db.reading(tenant_id) as connection:
        return (await connection.execute(query.order_by(dead_letters.c.id).limit(limit))).all()


async def left(db: Database, tenant_id: str, which: Filter) -> int:
    """How many of them are still open."""
    async with db.reading(tenant_id) as connection:
        return int(await connection.scalar(_matching(select(func.count()), which)) or 0)


def _matching(query: Select[*tuple[Any, ...]], which: Filter) -> Select[*tuple[Any, ...]]:
    return (
        query.select_from(dead_letters)
        .join(steps, steps.c.id == dead_letters.c.step_id)
        .join(runs, runs.c.id == dead_letters.c.run_id)
        .where(*which.clauses(), dead_letters.c.state == "open", runs.c.state.in_(REPLAYABLE_RUNS))
    )


def _cost_of_a_call(tenant_id: str, which: Filter) -> Select[*tuple[Any, ...]]:
    """The average over a sample: what the run's own model calls have cost, or else its agent's of late."""
    paid = attempts.c.outcome == StepEvent.SUCCEED.value, steps.c.kind == StepKind.REASON.value
    recent = _recent(tenant_id)
    by_agent = (
        select(recent.c.agent, func.avg(attempts.c.cost_usd).label("cost"))
        .join(steps, steps.c.run_id == recent.c.id)
        .join(attempts, attempts.c.step_id == steps.c.id)
        .where(*paid)
        .group_by(recent.c.agent)
        .subquery("by_agent")
    )
    sample = _matching(select(dead_letters.c.run_id, runs.c.agent), which).order_by(dead_letters.c.id.desc())
    letter = sample.limit(SAMPLE).subquery("letter").c
    own = (
        select(func.avg(attempts.c.cost_usd))
        .join(steps, steps.c.id == attempts.c.step_id)
        .where(steps.c.run_id == letter.run_id, *paid)
        .correlate(letter.run_id.table)
        .scalar_subquery()
    )
    return select(func.avg(func.coalesce(own, by_agent.c.cost))).select_from(
        letter.run_id.table.outerjoin(by_agent, by_agent.c.agent == letter.agent)
    )


def _pace(tenant_id: str, agents: list[str]) -> Select[*tuple[Any, ...]]:
    """Steps that each agent has finished in its busiest minute: what was possible, not what was asked for."""
    recent = _recent(tenant_id)
    minutes = (
        select(recent.c.agent, func.count().label("steps"))
        .join(steps, steps.c.run_id == recent.c.id)
        .where(recent.c.agent.in_(agents), steps.c.finished_at.is_not(None), steps.c.state == "succeeded")
        .group_by(recent.c.agent, func.date_trunc("minute", steps.c.finished_at))
        .subquery("minutes")
        .c
    )
    return select(minutes.agent, func.max(minutes.steps).label("pace")).group_by(minutes.agent)


def _recent(tenant_id: str) -> Any:
    newest = select(runs.c.id, runs.c.agent).where(runs.c.tenant_id == tenant_id).order_by(runs.c.id.desc())
    return newest.limit(RECENT).cte("recent")
