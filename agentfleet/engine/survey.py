"""Survey: which accounts and models of the provider are shut, as gauges and as alerts.

That an account is parked is told by the worker whose step waits for it, with the provider's words, or from here, if all
its steps could go elsewhere; that it is over is seen here, whether a probe has succeeded or a human has resumed it.
"""

import orjson
import structlog

from agentfleet.domain.alerts import AlertKind
from agentfleet.domain.model import Settlement
from agentfleet.engine.ports import Admission
from agentfleet.store import alerts
from agentfleet.store.database import LOST_CONNECTION, Database
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.alerts")

OVERLOADED_FOR = 60.0
"""Seconds after which a human is told that a model is overloaded; most times it is over sooner."""
MOST = 1_000


async def tell_parked(db: Database, settlement: Settlement) -> None:
    """Tell a human that the account which ``settlement`` was refused by cannot be used. Never raises."""
    organization = (settlement.bucket or "").partition("/")[0] or settlement.account or "default"
    error = orjson.loads(settlement.error or "{}")
    data = {"run_id": settlement.run_id, "request_id": settlement.request_id, **error.get("detail", {})}
    message = (
        f"The provider account {organization} cannot be used: {error.get('message', 'it was refused')}. When it works"
        f" again, `agentfleet accounts resume {organization}` makes its runs go on at once."
    )
    try:
        await alerts.raise_alert(db, AlertKind.ACCOUNT_PARKED, organization, message, data)
    except LOST_CONNECTION as lost:
        log.warning("alert_not_raised", kind=AlertKind.ACCOUNT_PARKED.value, subject=organization, error=str(lost))


class Surveyor:
    """Looks at the provider's gates."""

    def __init__(self, db: Database, admission: Admission) -> None:
        self._db, self._admission = db, admission
        self._seen: set[str] = set()

    async def run_once(self) -> int:
        """Set the gauges, open and resolve alerts; always 0, since looking is not progress."""
        told = await alerts.listed(
            self._db, resolved=False, limit=MOST
        )  # before the gates: what was told is shut by now
        found = await self._admission.survey()
        if found is None:
            return 0
        self._seen |= {*found.parked, *(bucket.name.partition("/")[0] for bucket in found.buckets)}
        for organization in self._seen:
            metrics.ACCOUNT_PARKED.labels(organization).set(organization in found.parked)
        shut = {bucket.name: bucket for bucket in found.buckets if bucket.probed_for > 0}
        subjects = {AlertKind.ACCOUNT_PARKED: set(found.parked), AlertKind.PROVIDER_OVERLOADED: set(shut)}
        for alert in told:
            if alert.subject not in subjects.get(AlertKind(alert.kind), {alert.subject}):
                await alerts.resolve(self._db, AlertKind(alert.kind), alert.subject)
        known = {alert.subject for alert in told if alert.kind == AlertKind.ACCOUNT_PARKED}
        for organization in found.parked.keys() - known:
            message = (
                f"The provider account {organization} cannot be used: it refuses every call. When it works again,"
                f" `agentfleet accounts resume {organization}` opens it at once."
            )
            await alerts.raise_alert(self._db, AlertKind.ACCOUNT_PARKED, organization, message, {})
        known = {alert.subject for alert in told if alert.kind == AlertKind.PROVIDER_OVERLOADED}
        for name, bucket in shut.items():
            if bucket.probed_for >= OVERLOADED_FOR and name not in known:
                message = (
                    f"The provider is overloaded: for {bucket.probed_for:.0f} s now only one call at a time has looked"
                    f" whether {name} answers again. Its runs wait, and go on by themselves."
                )
                await alerts.raise_alert(self._db, AlertKind.PROVIDER_OVERLOADED, name, message, {})
        return 0
