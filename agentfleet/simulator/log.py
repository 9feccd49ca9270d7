"""The request log: what was asked, what came of it and whether it was paid for. Bounded; the oldest calls fall out."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from agentfleet.simulator.wire import Json


@dataclass(slots=True)
class Entry:
    """One call, or one request of a batch (`endpoint` batch_item). Times are seconds of the simulator's clock.

    `outcome` is open, completed, failed, broken (by a fault) or abandoned (by the client); `error` the type or code of
    the error it got. `attempt` is the SDK's own retry count. `paid` is true once the model has answered, heard by the
    client or not; `usage` says for what, `charged` what was taken from the buckets of `bucket` (a model group or a
    surface). `key`, `body` and `input` (tools, system and messages, without other parameters) are digests; `tags` are
    the request's x-agentfleet-* headers. `retry_after` are the seconds the answer asked to wait.
    """

    id: str
    at: float
    endpoint: str
    path: str
    key: str | None
    organization: str
    attempt: int
    tags: dict[str, str]
    scenario: str | None = None
    fault: str | None = None
    model: str | None = None
    bucket: str | None = None
    stream: bool = False
    turn: int = 0
    body: str = ""
    input: str = ""
    batch: str | None = None
    custom_id: str | None = None
    status: int | None = None
    error: str | None = None
    retry_after: float | None = None
    stop_reason: str | None = None
    outcome: str = "open"
    paid: bool = False
    usage: dict[str, Any] = field(default_factory=dict[str, Any])
    charged: dict[str, int] = field(default_factory=dict[str, int])
    spoke_at: float | None = None  # when the answer of the model began
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A 429 that said when to come back."""

    id: str
    told: float
    until: float


FILTERS = frozenset(each.name for each in fields(Entry)) - {"at", "tags", "usage", "charged", "spoke_at", "ended_at"}
TAG = "x-agentfleet-"


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

    def close(self, entry: Entry, now: float) -> None:
        """Note that a call is over."""
        self.in_flight -= 1
        entry.ended_at = now

    def note(self, entry: Entry) -> None:
        """Note what was no call of its own: a request of a batch."""
        self.entries.append(entry)

    def page(
        self, limit: int, *, since: float = 0, path: str | None = None, where: Mapping[str, str] | None = None
    ) -> list[Json]:
        """The newest calls last: from `since` on, of one endpoint if `path` is given, with these fields (as text).

        `run` and `step` in `where` mean the headers x-agentfleet-run and -step. KeyError for a field that there is not.
        """
        wanted = where or {}
        kept = [
            entry
            for entry in self.entries
            if entry.at >= since
            and (path is None or entry.path.endswith(path))
            and all(_text(entry, name) == value for name, value in wanted.items())
        ]
        return [asdict(entry) for entry in kept[-limit:]]

    def early(self, grace: float = 0) -> list[Json]:
        """Calls that came, by more than `grace` seconds, before the `retry-after` that their bucket had been given.

        A call that was already on its way when the refusal was sent is early as well: tell it by `since_refusal`.
        """
        found: list[Json] = []
        refusals: dict[tuple[str, str], list[_Refusal]] = {}
        for entry in sorted(self.entries, key=lambda each: each.at):
            if entry.bucket is None or entry.endpoint == "batch_item":
                continue
            held = refusals.setdefault((entry.organization, entry.bucket), [])
            held[:] = [refusal for refusal in held if refusal.until > entry.at]
            broken = [each for each in held if each.told <= entry.at < each.until - grace]
            if broken:
                first = broken[0]
                found.append(
                    {
                        "id": entry.id,
                        "at": entry.at,
                        "not_before": first.until,
                        "since_refusal": entry.at - first.told,
                        "refusal": first.id,
                    }
                )
            if entry.status == 429 and entry.retry_after:
                told = entry.at if entry.ended_at is None else entry.ended_at
                refusal = _Refusal(id=entry.id, told=told, until=told + entry.retry_after)
                if not any(each.told <= refusal.told and each.until >= refusal.until for each in held):
                    held.append(refusal)
        return found

    def stats(self) -> Json:
        """Totals, and counts over the calls still in the log.

        `duplicate_paid` counts paid calls whose body and tags had been paid for before.
        """
        paid = Counter(
            (entry.body, entry.custom_id, *sorted(entry.tags.items())) for entry in self.entries if entry.paid
        )
        return {
            "requests": self.total,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "paid": paid.total(),
            "duplicate_paid": paid.total() - len(paid),
            "by_status": dict(Counter(str(entry.status) for entry in self.entries if entry.status is not None)),
            "by_outcome": dict(Counter(entry.outcome for entry in self.entries)),
            "by_fault": dict(Counter(entry.fault for entry in self.entries if entry.fault is not None)),
            "by_error": dict(Counter(entry.error for entry in self.entries if entry.error is not None)),
            **{kind: sum(entry.usage.get(kind, 0) for entry in self.entries) for kind in TOKEN_KINDS},
        }


TOKEN_KINDS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def _text(entry: Entry, name: str) -> str:
    if name in {"run", "step"}:
        return entry.tags.get(TAG + name, "")
    if name not in FILTERS:
        raise KeyError(name)
    value = getattr(entry, name)
    return str(value).lower() if isinstance(value, bool) else str(value)
