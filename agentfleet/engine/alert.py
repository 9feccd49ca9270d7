"""Tell: what a human must know goes out as a webhook, and always as a log line and a metric.

At least once: whoever takes an alert and dies leaves it to the next try, with the same ``webhook-id``. Nothing here can
hold up another duty: a try is bounded, and tries are rows with a due time.
"""

import asyncio
import time

import httpx2
import orjson
import structlog

from agentfleet.domain.alerts import Alert, AlertEvent, AlertKind
from agentfleet.domain.webhooks import headers
from agentfleet.store import alerts
from agentfleet.store.database import Database
from agentfleet.telemetry import metrics

log = structlog.get_logger("agentfleet.alerts")

BATCH = 20
TRY = 10.0
"""Seconds for one try, from the look-up of the name to the answer's first bytes."""


class AlertSender:
    """Posts alerts to ``url``, signed with ``key``; without a URL the log is all that is told."""

    def __init__(self, db: Database, url: str | None, key: bytes | None) -> None:
        self._db, self._url, self._key = db, url, key
        self._http: httpx2.AsyncClient | None = None
        for outcome in ("delivered", "failed", "gave_up"):
            metrics.WEBHOOK_DELIVERIES.labels(outcome)  # from 0: an increase that begins with 1 is none to Prometheus

    async def run_once(self) -> int:
        """Tell of up to ``BATCH`` alerts that are due; how many were heard."""
        taken = await alerts.take(self._db, limit=BATCH)
        heard = await asyncio.gather(*(self._tell(alert) for alert in taken))
        found = await alerts.count_open(self._db)
        for kind in {kind.value for kind in AlertKind} | set(found):
            metrics.ALERTS_OPEN.labels(kind).set(found.get(kind, 0))
        return sum(heard)

    async def prune(self) -> int:
        """Forget what was resolved long ago; how many."""
        return await alerts.prune(self._db)

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _tell(self, alert: Alert) -> bool:
        if alert.tries == 1:
            level = log.error if alert.event is AlertEvent.OPENED else log.info
            level(alert.event.replace(".", "_"), kind=alert.kind, subject=alert.subject, message=alert.message)
        problem = None if self._url is None else await self._post(self._url, alert)
        if problem is None:
            await alerts.mark_told(self._db, alert)
            if self._url is not None:
                metrics.WEBHOOK_DELIVERIES.labels("delivered").inc()
            return True
        metrics.WEBHOOK_DELIVERIES.labels("gave_up" if alert.told else "failed").inc()
        log.warning("alert_not_heard", kind=alert.kind, subject=alert.subject, tries=alert.tries, problem=problem,
                    consequence="nobody is told any more" if alert.told else "tried again")  # fmt: skip
        return False

    async def _post(self, url: str, alert: Alert) -> str | None:
        """What was wrong; ``None``: it was heard. Neither the URL nor the answer is told: both may hold secrets."""
        body = orjson.dumps(payload(alert))
        message_id = f"{alert.id}_{alert.event.split('.')[1]}"
        more = {"content-type": "application/json", "user-agent": "agentfleet"}
        if self._http is None:
            self._http = httpx2.AsyncClient(timeout=TRY, follow_redirects=False)
        try:
            async with asyncio.timeout(TRY):
                signed = headers(self._key, message_id, int(time.time()), body)
                async with self._http.stream("POST", url, content=body, headers={**more, **signed}) as answer:
                    return None if answer.is_success else f"HTTP {answer.status_code}"
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            return type(error).__name__


def payload(alert: Alert) -> dict[str, object]:
    """What is posted."""
    when = alert.created_at if alert.resolved_at is None else alert.resolved_at
    return {
        "type": alert.event.value,
        "timestamp": when.isoformat(),
        "data": {
            "id": alert.id,
            "kind": alert.kind,
            "subject": alert.subject,
            "message": alert.message,
            "details": orjson.loads(alert.data),
            "seen": alert.seen,
            "created_at": alert.created_at.isoformat(),
            "last_seen_at": alert.last_seen_at.isoformat(),
            "resolved_at": None if alert.resolved_at is None else alert.resolved_at.isoformat(),
        },
    }
