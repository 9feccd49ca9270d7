"""Replay, skip and discard: what a human may do about a dead letter.

A skip is a replay, too: the step comes back with the result that a human gives, and whoever claims it settles that
instead of calling the tool. So it takes the one path that every outcome takes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from agentfleet.domain.settlement import EventType
from agentfleet.domain.states import RunState
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.ports import Publisher
from agentfleet.store import dead_letters
from agentfleet.store.database import Database
from agentfleet.store.dead_letters import Replay

BULK_PRIORITY: Final = -101
"""Below all that a client may ask for (-100 to 100): what comes back in bulk lets all other work go first."""
BULK: Final = 200
"""Dead letters in one transaction: their runs' rows are locked together, for milliseconds."""


def replay_of(
    dead_letter_id: str,
    *,
    by: str | None,
    skip: bool = False,
    edited: Sequence[str] = (),
    kept: Mapping[str, Any] | None = None,
    **columns: Any,
) -> Replay:
    """How one dead letter comes back: ``edited`` names what is changed, ``columns`` (those of ``Replay``) say to what.

    ``by`` is an API key's id. ``kept`` is what the resolution alone remembers.
    """
    action, event = ("skip", EventType.STEP_SKIPPED) if skip else ("replay", EventType.STEP_REPLAYED)
    data: dict[str, Any] = {"action": action, "by": by}
    if edited:
        data["edited"] = [*edited]
    if columns.get("bundle_id"):
        data["bundle_id"] = columns["bundle_id"]
    resolution = orjson.dumps({**data, **(kept or {})}).decode()
    return Replay(dead_letter_id, action, resolution, event, orjson.dumps(data).decode(), **columns)


class Undertaker:
    """Replays dead letters (the run goes on at the step that died) or discards them (the run fails).

    ``by`` is who asks, an API key's id; with it, each one is written into the audit and into its own resolution.
    """

    def __init__(self, db: Database, publisher: Publisher, canceller: Canceller) -> None:
        self._db, self._publisher, self._canceller = db, publisher, canceller

    async def replay(self, tenant_id: str, dead_letter_ids: Sequence[str], *, by: str | None = None) -> list[str]:
        """Put their steps back with fresh attempts; the ids that were open. Repeating it is harmless."""
        return await self.bring_back(tenant_id, [replay_of(one, by=by) for one in dead_letter_ids], by=by)

    async def bring_back(
        self, tenant_id: str, replays: Sequence[Replay], *, by: str | None, priority: int | None = None
    ) -> list[str]:
        """The same in one transaction, edited; ``priority`` is the steps' from now on, or else that of their runs."""
        back = await dead_letters.replay(self._db, tenant_id, replays, actor=by, priority=priority)
        for pool in {pool for _, _, _, pool in back}:
            await self._publisher.wake(pool)
        return [dead_letter_id for dead_letter_id, _, _, _ in back]

    async def discard(self, tenant_id: str, dead_letter_id: str, *, by: str | None = None) -> bool:
        """Give up for good: the run ends as failed. ``False`` when the dead letter was not open."""
        run_id = await dead_letters.open_run(self._db, tenant_id, dead_letter_id)
        if run_id is None:
            return False
        ended = await self._canceller.end(
            [run_id], RunState.FAILED, "discarded", "its dead letter was discarded", tenant_id=tenant_id
        )
        if ended and by is not None:
            resolution = orjson.dumps({"action": "discard", "by": by}).decode()
            await dead_letters.resolve(self._db, tenant_id, dead_letter_id, resolution)
        return bool(ended)
