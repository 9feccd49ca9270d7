"""Letters: tell a human that dead letters wait, once per tenant until none does."""

from agentfleet.domain.alerts import AlertKind
from agentfleet.store import alerts
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics

MOST = 1_000
"""Dead letters of a tenant that are counted."""


class LetterWatch:
    """Looks for open dead letters, tenant by tenant."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def run_once(self) -> int:
        """Open and resolve alerts; always 0, since looking is not progress."""
        told = {alert.subject for alert in await alerts.open_of(self._db, AlertKind.DEAD_LETTERS)}
        waiting = await alerts.open_letters(self._db, most=MOST)
        metrics.DEAD_LETTERS_OPEN.set(sum(waiting.values()))
        for tenant_id, count in waiting.items():
            if tenant_id not in told:
                shown = (
                    f"{count} dead letter{'' if count == 1 else 's'}"
                    if count < MOST
                    else f"{MOST} dead letters or more"
                )
                message = f"{shown} of tenant {tenant_id} to decide about: see `agentfleet dead-letters clusters`."
                await alerts.raise_alert(self._db, AlertKind.DEAD_LETTERS, tenant_id, message, {"open": count})
        for tenant_id in told - set(waiting):
            await alerts.resolve(self._db, AlertKind.DEAD_LETTERS, tenant_id)
        return 0
