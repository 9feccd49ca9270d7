"""What is stored of ended runs, as text to be archived."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from agentfleet.store import statements
from agentfleet.store.database import Database
from agentfleet.store.tables import bundles


@dataclass(frozen=True, slots=True)
class Exported:
    """A run as of its ``version``: a JSON object of one line, with the rows of every table that belong to it."""

    run_id: str
    version: int
    bundle_id: str
    document: str


async def export(db: Database, run_ids: Sequence[str]) -> list[Exported]:
    """The runs, in the order of their ids; one that is gone is absent."""
    rows = await db.fetch(statements.EXPORT_RUNS, {"run_id": list(run_ids)})
    # json_agg puts each element on a line of its own. In JSON a bare line break can only be space between two tokens.
    return [Exported(row[0], row[1], row[2], row[3].replace("\n", "")) for row in rows]


async def bundles_of(db: Database, bundle_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """What runs were pinned to, by id: ``agent``, and ``spec`` as JSON text."""
    query = select(bundles.c.id, bundles.c.agent, bundles.c.spec).where(bundles.c.id.in_(sorted(set(bundle_ids))))
    async with db.reading() as connection:
        return {row.id: {"agent": row.agent, "spec": row.spec} for row in await connection.execute(query)}
