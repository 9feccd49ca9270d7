"""What the database says about some runs: how far they are, and whether every promise about them was kept.

A reader beside the fleet, for the demo and the tests. It blocks, and takes no part in anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Select, create_engine, distinct, func, or_, pool, select

from agentfleet.domain.states import RUN_FINAL, RunState, StepEvent, StepState
from agentfleet.store.database import DatabaseConfig, sqlalchemy_url
from agentfleet.store.session import set_at_begin
from agentfleet.store.tables import attempts, messages, run_events, runs, steps


@dataclass(frozen=True, slots=True)
class Tally:
    """How far runs are: runs by state, steps by state, attempts by outcome."""

    runs: dict[str, int]
    steps: dict[str, int]
    attempts: dict[str, int]

    @property
    def settled(self) -> int:
        """Steps that are done."""
        return self.steps.get(StepState.SUCCEEDED, 0)

    @property
    def retries(self) -> int:
        """Attempts that ended otherwise, and were made again."""
        return sum(self.attempts.values()) - self.attempts.get(StepEvent.SUCCEED, 0)

    @property
    def ended(self) -> int:
        """Runs that are over, well or not."""
        return sum(number for state, number in self.runs.items() if state in RUN_FINAL)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found about ``submitted`` runs."""

    submitted: int
    succeeded: int
    lost: int
    """Runs that are not there, or have not ended."""
    steps: int
    attempts: int
    settled_twice: int
    """Steps that more than one attempt settled."""
    unsettled: int
    """Steps that no attempt settled although they count as done."""
    gaps: int
    """Runs whose steps, messages or events are not numbered without a gap."""

    @property
    def flawless(self) -> bool:
        """Whether everything is as promised."""
        return self.succeeded == self.submitted and not (self.lost or self.settled_twice or self.unsettled or self.gaps)


class Witness:
    """Reads the database at ``url`` as ``role``."""

    def __init__(self, url: str, role: str | None) -> None:
        config = DatabaseConfig(url, role, "agentfleet-witness")
        arguments = {
            "application_name": config.application_name, "connect_timeout": 10, "prepare_threshold": None,
        }  # fmt: skip
        self._engine = create_engine(sqlalchemy_url(url), connect_args=arguments, poolclass=pool.StaticPool)
        set_at_begin(self._engine, config.session(), always=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._engine.dispose()

    def tally(self, run_ids: Sequence[str]) -> Tally:
        """Count everything about these runs."""
        ids = [UUID(run_id) for run_id in run_ids]
        tries = (
            select(attempts.c.outcome, func.count())
            .join(steps, steps.c.id == attempts.c.step_id)
            .where(attempts.c.outcome != StepEvent.SNOOZE)  # waiting, for room at the provider or a time, is no attempt
        )
        return Tally(
            self._counts(select(runs.c.state, func.count()).where(runs.c.id.in_(ids)).group_by(runs.c.state)),
            self._counts(select(steps.c.state, func.count()).where(steps.c.run_id.in_(ids)).group_by(steps.c.state)),
            self._counts(tries.where(steps.c.run_id.in_(ids)).group_by(attempts.c.outcome)),
        )

    def holders(self) -> dict[str, int]:
        """How many steps each worker (``host:pid``) has in flight."""
        query = select(steps.c.worker, func.count()).where(steps.c.state == StepState.RUNNING).group_by(steps.c.worker)
        return self._counts(query)

    def examine(self, run_ids: Sequence[str]) -> Evidence:
        """Find out whether these runs, which were all accepted, are as promised."""
        ids, counted = [UUID(run_id) for run_id in run_ids], self.tally(run_ids)
        succeeds = func.count().filter(attempts.c.outcome == StepEvent.SUCCEED)
        per_step = (
            select(steps.c.state, succeeds.label("succeeds"))
            .outerjoin(attempts, attempts.c.step_id == steps.c.id)
            .where(steps.c.run_id.in_(ids))
            .group_by(steps.c.id)
            .subquery()
        )
        done = per_step.c.state == StepState.SUCCEEDED
        return Evidence(
            submitted=len(ids),
            succeeded=counted.runs.get(RunState.SUCCEEDED, 0),
            lost=len(ids) - counted.ended,
            steps=sum(counted.steps.values()),
            attempts=sum(counted.attempts.values()),
            settled_twice=self._one(select(func.count()).select_from(per_step).where(per_step.c.succeeds > 1)),
            unsettled=self._one(select(func.count()).select_from(per_step).where(done, per_step.c.succeeds == 0)),
            gaps=len({run_id for query in _gaps(ids) for run_id in self._column(query)}),
        )

    def _counts(self, query: Select[Any, int]) -> dict[str, int]:
        with self._engine.connect() as connection:
            return {str(name): number for name, number in connection.execute(query).all()}

    def _one(self, query: Select[Any]) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def _column(self, query: Select[Any]) -> Sequence[Any]:
        with self._engine.connect() as connection:
            return connection.execute(query).scalars().all()


def _gaps(ids: Sequence[UUID]) -> tuple[Select[Any], ...]:
    """Queries for runs with a gap: in steps (from 0), in events (from 1), in turns and in parts of a turn (from 0)."""
    step, event, turn, part = steps.c.seq, run_events.c.seq, messages.c.turn, messages.c.part
    told = run_events.join(runs, runs.c.id == run_events.c.run_id)
    return (
        select(steps.c.run_id)
        .where(steps.c.run_id.in_(ids))
        .group_by(steps.c.run_id)
        .having(or_(func.min(step) != 0, func.max(step) + 1 != func.count())),
        select(runs.c.id)
        .select_from(told)
        .where(runs.c.id.in_(ids))
        .group_by(runs.c.id)
        .having(or_(func.min(event) != 1, func.max(event) != func.count(), func.max(event) != runs.c.event_seq)),
        select(messages.c.run_id)
        .where(messages.c.run_id.in_(ids))
        .group_by(messages.c.run_id)
        .having(func.max(turn) + 1 != func.count(distinct(turn))),
        select(messages.c.run_id)
        .where(messages.c.run_id.in_(ids))
        .group_by(messages.c.run_id, turn)
        .having(or_(func.min(part) != 0, func.max(part) + 1 != func.count())),
    )
