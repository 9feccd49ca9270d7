"""Archive: ended runs as objects in a store, before they are deleted.

An object holds runs of one tenant that were accepted on one day (UTC), and is found by a run's id alone: the id begins
with the moment of the run's birth, and the object's name says from which id to which its runs go. It is named after its
content, too: whoever was killed writes the same object again, and nobody ever writes over another one.

It is gzip over JSON Lines. The first line names the schema, the tenant and the bundles that the runs were pinned to;
every other line is one run, with the rows of each table as Postgres writes them as JSON.
"""

import asyncio
import gzip
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final, Protocol
from urllib.parse import quote
from uuid import UUID

import orjson

from agentfleet import failpoints
from agentfleet.domain.errors import ArchiveFailed
from agentfleet.store import archive as rows
from agentfleet.store.archive import Exported
from agentfleet.store.database import Database
from agentfleet.store.retention import Due
from agentfleet.telemetry import metrics

SCHEMA: Final = "agentfleet.runs/1"
SUFFIX: Final = ".jsonl.gz"
SLICE: Final = 20
"""Runs that one statement exports."""

_STORING = failpoints.declare("archive", lambda: ArchiveFailed("failpoint archive"))


class Objects(Protocol):
    """A store of objects. Every method raises ``ArchiveFailed`` when it cannot do what it says."""

    @property
    def name(self) -> str:
        """For humans and alerts: ``s3://bucket/prefix``."""
        ...

    async def put(self, key: str, body: bytes) -> str:
        """Store an object, make sure that it is there as a whole, and say where."""
        ...


@dataclass(frozen=True, slots=True)
class Packed:
    """An object to be stored."""

    key: str
    body: bytes


class Archivist:
    """Stores runs in ``objects``."""

    def __init__(self, db: Database, objects: Objects) -> None:
        self._db, self._objects = db, objects

    @property
    def name(self) -> str:
        """Where it stores them."""
        return self._objects.name

    async def __call__(self, due: Sequence[Due]) -> list[Due]:
        """The runs as they are in the archive now; those that were there already stay as they are.

        Raises ``ArchiveFailed``: then none of them may be deleted.
        """
        stored = [run for run in due if run.archived_to is not None]
        groups: dict[tuple[str, date], list[Due]] = defaultdict(list)
        for run in due:
            if run.archived_to is None:
                groups[run.tenant_id, born_on(run.run_id)].append(run)
        for (tenant_id, day), runs in groups.items():
            stored += await self._store(tenant_id, day, runs)
        return stored

    async def _store(self, tenant_id: str, day: date, runs: Sequence[Due]) -> list[Due]:
        ids = sorted(run.run_id for run in runs)
        found: list[Exported] = []
        for start in range(0, len(ids), SLICE):
            found += await rows.export(self._db, ids[start : start + SLICE])
        if not found:
            return []
        bundles = await rows.bundles_of(self._db, [run.bundle_id for run in found])
        packed = await asyncio.to_thread(pack, tenant_id, day, found, bundles)
        place = await _STORING.around(lambda: self._objects.put(packed.key, packed.body))
        metrics.ARCHIVED_BYTES.inc(len(packed.body))
        versions = {run.run_id: run.version for run in found}
        return [replace(run, version=versions[run.run_id], archived_to=place) for run in runs if run.run_id in versions]


def pack(tenant_id: str, day: date, runs: Sequence[Exported], bundles: Mapping[str, Mapping[str, str]]) -> Packed:
    """One object of these runs, whose ids are in order. The same runs make the same object."""
    head = {"schema": SCHEMA, "tenant_id": tenant_id, "day": day.isoformat(), "runs": len(runs), "bundles": bundles}
    lines = [orjson.dumps(head, option=orjson.OPT_SORT_KEYS), *(run.document.encode() for run in runs)]
    content = b"\n".join(lines) + b"\n"
    name = f"{runs[0].run_id}_{runs[-1].run_id}_{_digest(content)}{SUFFIX}"
    return Packed(prefix_of(tenant_id, day) + name, gzip.compress(content, mtime=0))


def prefix_of(tenant_id: str, day: date) -> str:
    """What the keys of a tenant's runs of a day begin with."""
    return f"{quote(tenant_id, safe='')}/{day:%Y/%m/%d}/"


def born_on(run_id: str) -> date:
    """The day (UTC) in whose objects the run is: a UUIDv7 begins with the milliseconds of its birth (RFC 9562)."""
    return datetime.fromtimestamp((UUID(run_id).int >> 80) / 1000, UTC).date()


def may_hold(key: str, run_id: str) -> bool:
    """Whether the object of this name can hold the run."""
    first, _, rest = key.rpartition("/")[2].partition("_")
    return key.endswith(SUFFIX) and first <= run_id <= rest.partition("_")[0]


def unpack(key: str, body: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Every run of an object: its document, and the same as the text that was stored.

    Raises ``ArchiveFailed`` when the object is not what was stored under its name.
    """
    try:
        content = gzip.decompress(body)
    except (OSError, EOFError) as error:
        raise ArchiveFailed(f"{key} cannot be read: {error}") from error
    if not key.endswith(f"_{_digest(content)}{SUFFIX}"):
        raise ArchiveFailed(f"{key} is not what was stored under this name")
    for line in content.split(b"\n")[1:-1]:
        yield orjson.loads(line), line


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
