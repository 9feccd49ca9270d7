"""Recall: a worker that stops returns the messages that it has not claimed, with one statement."""

from collections.abc import Sequence

from agentfleet.engine.ports import Publisher
from agentfleet.store import steps
from agentfleet.store.database import Database


async def recall(db: Database, publisher: Publisher, pool: str, step_ids: Sequence[str]) -> int:
    """Make these dispatched steps ready again and wake the dispatcher; how many were still unclaimed."""
    if not step_ids:
        return 0
    recalled = await steps.recall(db, step_ids)
    if recalled:
        await publisher.wake(pool)
    return recalled
