"""Who did what by hand. Rows are only ever added: no role of ours may change or remove one."""

from collections.abc import Sequence

from sqlalchemy import insert

from agentfleet.store.api_keys import Principal
from agentfleet.store.database import Database
from agentfleet.store.ids import new_id
from agentfleet.store.tables import audit


async def record(db: Database, who: Principal, action: str, objects: Sequence[str]) -> None:
    """Write that ``who`` does ``action`` to each of ``objects``. Called before the action: none goes unrecorded."""
    rows = [
        {"id": new_id(), "tenant_id": who.tenant_id, "actor": who.key_id, "action": action, "object": name}
        for name in objects
    ]
    if rows:
        async with db.reading(who.tenant_id) as connection:
            await connection.execute(insert(audit), rows)
