"""Loads: note what a pool has to do and what the provider can answer, so that its size can be decided anywhere."""

from collections.abc import Callable

from agentfleet.domain.provider_room import Calls, mean_seconds, provider_slots
from agentfleet.engine.ports import Admission, Survey
from agentfleet.store import capacity, expectations
from agentfleet.store.database import Database

NO_CALLS = Calls(None, 0, 0.0)
SHUT = (0.0, 0.0, 0.0)


class LoadMeter:
    """Measures one pool. ``group_of`` tells which models share a limit of the provider.

    Here, since here are the provider's buckets: the ingress, which decides, needs neither Redis' word nor a key.
    """

    def __init__(self, db: Database, admission: Admission, *, pool: str, group_of: Callable[[str], str]) -> None:
        self._db, self._admission, self._pool, self._group_of = db, admission, pool, group_of

    async def run_once(self) -> int:
        """Take the measure; always 0, since looking is not progress."""
        calls = await capacity.sample(self._db, self._pool)
        slots = self._slots(calls, await self._admission.survey())
        await capacity.record(self._db, self._pool, mean_seconds(calls), slots)
        return 0

    async def prune(self) -> int:
        """Forget what is too old to tell anything."""
        return await capacity.prune(self._db) + await expectations.prune(self._db)

    def _slots(self, calls: list[Calls], survey: Survey | None) -> float | None:
        if survey is None:
            return None
        groups: dict[str, list[Calls]] = {}
        for each in calls:
            if each.model is not None:
                groups.setdefault(self._group_of(each.model), []).append(each)
        limits = {
            bucket.name: SHUT
            if bucket.name.partition("/")[0] in survey.parked
            else bucket.limits
            if bucket.known
            else None
            for bucket in survey.buckets
        }
        other = next((each for each in calls if each.model is None), NO_CALLS)
        return provider_slots(groups, limits, other)
