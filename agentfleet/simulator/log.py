"""The request log: what was asked, what came of it and whether it was paid for. Bounded; the oldest calls fall out."""

from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any

from agentfleet.simulator.wire import Json


@dataclass(slots=True)
class Entry:
    """One call. `outcome` is open, completed, failed, broken (by a fault) or abandoned (by the client).

    `attempt` is the SDK's own retry count. `paid` is true once the model has answered, heard by the client or not.
    `key` and `body` are digests; `tags` are the request's x-agentfleet-* headers.
    """

    id: str
    at: float
    path: str
    key: str | None
    attempt: int
    tags: dict[str, str]
    scenario: str | None = None
    fault: str | None = None
    model: str | None = None
    stream: bool = False
    turn: int = 0
    body: str = ""
    status: int | None = None
    stop_reason: str | None = None
    outcome: str = "open"
    paid: bool = False
    usage: dict[str, Any] = field(default_factory=dict[str, Any])


class RequestLog:
    """The last `capacity` calls and running totals since the last reset."""

    def __init__(self, capacity: int) -> None:
        self.entries: deque[Entry] = deque(maxlen=capacity)
        self.total = 0
        self.in_flight = 0
        self.most_in_flight = 0

    def open(self, entry: Entry) -> None:
        """Note a call that has arrived."""
        self.entries.append(entry)
        self.total += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def close(self) -> None:
        """Note that a call is over."""
        self.in_flight -= 1

    def page(self, limit: int, path: str | None = None) -> list[Json]:
        """The newest calls last, only those of one endpoint if `path` is given."""
        kept = [entry for entry in self.entries if path is None or entry.path.endswith(path)]
        return [asdict(entry) for entry in kept[-limit:]]

    def stats(self) -> Json:
        """Totals, and counts over the calls still in the log.

        `duplicate_paid` counts paid calls whose body and tags had been paid for before.
        """
        paid = Counter((entry.body, *sorted(entry.tags.items())) for entry in self.entries if entry.paid)
        return {
            "requests": self.total,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "paid": paid.total(),
            "duplicate_paid": paid.total() - len(paid),
            "by_status": dict(Counter(str(entry.status) for entry in self.entries if entry.status is not None)),
            "by_outcome": dict(Counter(entry.outcome for entry in self.entries)),
            "by_fault": dict(Counter(entry.fault for entry in self.entries if entry.fault is not None)),
            "input_tokens": sum(entry.usage.get("input_tokens", 0) for entry in self.entries),
            "cache_read_input_tokens": sum(entry.usage.get("cache_read_input_tokens", 0) for entry in self.entries),
            "output_tokens": sum(entry.usage.get("output_tokens", 0) for entry in self.entries),
        }
