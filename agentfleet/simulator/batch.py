"""One batch: its requests, when each is due, what came of it."""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agentfleet.simulator.wire import Json

DAY = 86_400
RESULTS_KEPT = 29 * DAY
OUTCOMES = ("succeeded", "errored", "canceled", "expired")


@dataclass(slots=True)
class Item:
    """One request: `due` is when the model gets to it (clock seconds), `result` the object of the results file."""

    custom_id: str
    params: Json
    due: float
    result: Json | None = None


@dataclass(slots=True)
class Batch:
    """The batch. Times are clock seconds; `closes` is when what is left expires or is canceled."""

    id: str
    organization: str
    key: str | None
    scenario: str | None
    items: list[Item]
    created: float
    closes: float
    canceled: float | None = None
    ended: float | None = None
    waiting: deque[Item] = field(init=False)  # by when they are due
    stuck: list[Item] = field(default_factory=list[Item])  # the model never gets to them

    def __post_init__(self) -> None:
        self.waiting = deque(sorted(self.items, key=lambda item: item.due))

    @property
    def status(self) -> str:
        """in_progress, canceling or ended."""
        if self.ended is not None:
            return "ended"
        return "in_progress" if self.canceled is None else "canceling"

    def next_due(self, now: float) -> Item | None:
        """Take out the next request that the model gets to by `now`."""
        if not self.waiting or self.waiting[0].due > min(now, self.closes):
            return None
        return self.waiting.popleft()

    def through(self, now: float) -> bool:
        """Whether nothing is left to wait for."""
        answered = not self.waiting and not self.stuck
        return now >= self.closes or (answered and self.canceled is None)

    def cancel(self, now: float, grace: float) -> None:
        """Finish what is due within `grace` seconds and give up the rest. Nothing happens to one that has ended."""
        if self.ended is None and self.canceled is None:
            self.canceled, self.closes = now, min(self.closes, now + grace)

    def close(self) -> None:
        """End it: what has no result by now never gets one."""
        left = [*self.waiting, *self.stuck]
        outcome = "expired" if self.canceled is None else "canceled"
        for item in left:
            item.result = {"type": outcome}
        # All answered: it ended with the last answer. Canceled: not before that was finished.
        self.ended = self.closes if left or self.canceled is not None else max(item.due for item in self.items)

    def archived(self, now: float) -> bool:
        """Whether its results are gone."""
        return now >= self.created + RESULTS_KEPT

    def counts(self) -> Json:
        """Requests by outcome. All are `processing` until the whole batch has ended."""
        if self.ended is None:
            return {"processing": len(self.items), **dict.fromkeys(OUTCOMES, 0)}
        by_type = Counter(item.result["type"] for item in self.items if item.result is not None)
        return {"processing": 0, **{outcome: by_type[outcome] for outcome in OUTCOMES}}

    def to_json(self, base_url: str, now: float) -> Json:
        """The `MessageBatch` object; `base_url` is where the client reached the service."""
        readable = self.ended is not None and not self.archived(now)
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": self.status,
            "request_counts": self.counts(),
            "created_at": _stamp(self.created),
            "expires_at": _stamp(self.created + DAY),
            "cancel_initiated_at": _stamp(self.canceled),
            "ended_at": _stamp(self.ended),
            "archived_at": _stamp(self.created + RESULTS_KEPT) if self.archived(now) else None,
            "results_url": f"{base_url}/v1/messages/batches/{self.id}/results" if readable else None,
        }


def _stamp(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
