"""What the database holds when all is quiet again, as operations of the history."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests import invariants
from tests.chaos.soak.history import Op

ROWS = {
    "run": "SELECT id::text, tenant_id AS tenant, agent, state, event_seq FROM runs",
    "step": "SELECT id::text, run_id::text AS run, seq, kind, name, effect, state, fence, attempt, crashes,"
    " extract(epoch FROM created_at)::float8 AS created, extract(epoch FROM lease_until)::float8 AS lease,"
    " extract(epoch FROM finished_at)::float8 AS finished FROM steps",
    "attempt": "SELECT step_id::text AS step, fence, attempt, outcome, verdict, worker,"
    " extract(epoch FROM claimed_at)::float8 AS claimed, extract(epoch FROM finished_at)::float8 AS finished"
    " FROM attempts",
    "row_event": "SELECT run_id::text AS run, seq, type FROM run_events",
    "letter": "SELECT run_id::text AS run, step_id::text AS step, state, verdict, error FROM dead_letters",
}
OPEN = (
    "SELECT count(*) FROM runs WHERE finished_at IS NULL AND state <> 'needs_review'",
    "SELECT count(*) FROM steps WHERE state = 'running'",
)


def quiet(database_url: str) -> bool:
    """Whether nothing is left to do."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        return not any(connection.execute(query.encode()).fetchone() != (0,) for query in OPEN)


def dump(database_url: str) -> Iterator[Op]:
    """Every row that the checker wants, and what ``tests.invariants`` finds."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        with connection.cursor(row_factory=dict_row) as cursor:
            for f, query in ROWS.items():
                yield from (Op("database", "ok", f, row) for row in cursor.execute(query.encode()).fetchall())
        for what, query in invariants.BROKEN.items():
            if broken := connection.execute(query.encode()).fetchall():
                yield Op("database", "fail", "sql", {"what": what, "rows": [str(row) for row in broken[:10]]})


def calls(requests: Sequence[dict[str, Any]]) -> Iterator[Op]:
    """The provider's log of its calls."""
    for entry in requests:
        if entry["path"].endswith("/messages"):
            tags = entry["tags"]
            value = {"step": tags.get("x-agentfleet-step"), "run": tags.get("x-agentfleet-run")}
            value |= {name: entry[name] for name in ("fault", "outcome", "paid", "status")}
            yield Op("provider", "ok" if entry["outcome"] == "completed" else "info", "model_call", value, entry["at"])


def most_at_once(history: Sequence[Op]) -> int:
    """How many attempts were under way at the worst moment."""
    attempts = [op.value for op in history if op.f == "attempt"]
    edges = [edge for a in attempts for edge in ((a["claimed"], 1), (a["finished"], -1))]
    under_way = most = 0
    for _, change in sorted(edges):
        under_way += change
        most = max(most, under_way)
    return most
