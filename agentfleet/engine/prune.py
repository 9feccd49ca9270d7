"""Prune: forget what was kept for long enough, in small portions.

A portion is one short transaction. Whoever finds a run locked leaves it for later. After each portion the pruner rests
as long as that took, and the next one is as large as fits into ``TARGET``: a busy database sets the pace.
Nothing is deleted that is to be archived until the archive has it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from agentfleet.domain.alerts import AlertKind
from agentfleet.domain.errors import ArchiveFailed
from agentfleet.domain.retention import Keep, Rule, taken_in_turn, to_forget, to_strip
from agentfleet.engine.archive import Archivist
from agentfleet.store import alerts, dead_letters, retention
from agentfleet.store.database import STALLED, Database
from agentfleet.store.retention import Due
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.prune")

BATCH = 500
MONTH: Final = 30 * 86_400.0
YEAR: Final = 365 * 86_400.0

MOST_RUNS, FEWEST_RUNS = 200, 10
MOST_STEPS: Final = 2_000
"""Of a portion: a run's rows grow with its steps."""
RULES: Final = 1_000
"""That one statement looks at; a tenant has up to six."""
TARGET: Final = 0.25
"""Seconds that a portion should take."""
LONGEST_REST: Final = 5.0


class Pruner:
    """Deletes dead letters that were dealt with more than ``days`` ago, and unreadable messages of that age; request
    keys when they are ``request_keys`` seconds old; batches that ended, and tombstones.
    """

    def __init__(self, db: Database, *, days: int, request_keys: float | None = None) -> None:
        self._db, self._days, self._request_keys = db, days, request_keys

    async def run_once(self) -> int:
        """Delete up to ``BATCH`` of each; how many in all."""
        gone = {
            "dead_letters": await dead_letters.prune(self._db, days=self._days, limit=BATCH),
            "batches": await retention.prune_batches(self._db, age=MONTH, limit=BATCH),
            "tombstones": await retention.prune_tombstones(self._db, age=YEAR, limit=BATCH),
        }
        if self._request_keys is not None:
            gone["request_keys"] = await retention.prune_request_keys(self._db, age=self._request_keys, limit=BATCH)
        for what, count in gone.items():
            metrics.PRUNED.labels(what).inc(count)
        return sum(gone.values())


class RunPruner:
    """Deletes ended runs, or first their details, as long after their end as ``keep`` and their tenants say."""

    def __init__(self, db: Database, keep: Keep, archivist: Archivist | None = None) -> None:
        self._db, self._keep, self._archivist = db, keep, archivist
        self._size, self._last, self._calm = MOST_RUNS, "", False
        self.trouble: str | None = None
        """What the archive failed with, the last time; ``None``: it did not."""

    async def run_once(self) -> int:
        """One portion of runs, and one of details; of how many runs."""
        policies = await retention.policies(self._db, self._keep)
        turn = taken_in_turn(policies, self._last)
        forget = [rule for name in turn for rule in to_forget(name, policies[name])]
        strip = [rule for name in turn for rule in to_strip(name, policies[name])]
        try:
            gone = await self._portion("runs", forget, retention.forget)
            return gone + await self._portion("details", strip, retention.strip)
        except ArchiveFailed as error:
            await self._tell(error)
            return 0
        except STALLED as error:
            self._size = max(FEWEST_RUNS, self._size // 4)
            log.warning("pruning_gave_way", error=str(error), next_portion=self._size)
            return 0

    async def _portion(
        self, what: str, rules: Sequence[Rule], delete: Callable[[Database, Sequence[Due]], Awaitable[int]]
    ) -> int:
        found = bounded(await self._find(rules, whole=what == "runs"))
        if not found:
            return 0
        self._last = found[-1].tenant_id
        if self._archivist is not None:
            to_store = any(run.archived_to is None for run in found)
            found = await self._archivist(found)
            if to_store:  # else nobody asked the archive how it is
                await self._resolve(self._archivist.name)
        began = time.monotonic()
        count = await delete(self._db, found)
        took = time.monotonic() - began
        metrics.PRUNED.labels(what).inc(count)
        self._size = min(MOST_RUNS, max(FEWEST_RUNS, int(len(found) * TARGET / max(took, 0.001))))
        await asyncio.sleep(min(took, LONGEST_REST))
        return count

    async def _find(self, rules: Sequence[Rule], *, whole: bool) -> list[Due]:
        for start in range(0, len(rules), RULES):
            found = await retention.due(self._db, rules[start : start + RULES], whole=whole, limit=self._size)
            if found:
                return found
        return []

    async def _tell(self, error: ArchiveFailed) -> None:
        assert self._archivist is not None  # who else should fail  # noqa: S101
        self._calm, self.trouble, name = False, str(error), self._archivist.name
        metrics.ARCHIVE_FAILURES.inc()
        log.warning("archive_failed", archive=name, error=str(error))
        message = (
            f"Runs that are due cannot be archived in {name}: {error}. None of them is deleted until it works again;"
            " then it goes on by itself. `agentfleet doctor` tries it."
        )
        await alerts.raise_alert(self._db, AlertKind.ARCHIVE_FAILING, name, message, {"error": str(error)})

    async def _resolve(self, name: str) -> None:
        if not self._calm:  # it may have been a process before us that raised the alert
            await alerts.resolve(self._db, AlertKind.ARCHIVE_FAILING, name)
            self._calm, self.trouble = True, None


def bounded(found: Sequence[Due]) -> list[Due]:
    """As many of them as have ``MOST_STEPS`` together, but one at least."""
    steps, taken = 0, list[Due]()
    for run in found:
        steps += run.steps
        if taken and steps > MOST_STEPS:
            break
        taken.append(run)
    return taken
