"""What must hold of every run at any moment, whatever happened to it. Checked by SQL over the whole database."""

import psycopg

BROKEN = {
    "a step succeeded more than once":
        "SELECT step_id FROM attempts WHERE outcome = 'succeed' GROUP BY step_id HAVING count(*) > 1",
    "a step succeeded without its attempt, or an attempt without its step":
        "SELECT s.id FROM steps s LEFT JOIN attempts a ON a.step_id = s.id AND a.outcome = 'succeed'"
        " WHERE (s.state = 'succeeded') <> (a.step_id IS NOT NULL)",
    "the seq of a run's steps has a gap":
        "SELECT run_id FROM steps GROUP BY run_id HAVING min(seq) <> 0 OR max(seq) <> count(*) - 1",
    "a run does not know how many steps it has":
        "SELECT r.id FROM runs r WHERE r.steps_total <> (SELECT count(*) FROM steps s WHERE s.run_id = r.id)",
    "the seq of a run's events has a gap":
        "SELECT r.id FROM runs r WHERE r.event_seq <> (SELECT count(*) FROM run_events e WHERE e.run_id = r.id)"
        " OR r.event_seq <> (SELECT coalesce(max(seq), 0) FROM run_events e WHERE e.run_id = r.id)",
    "an ended run has an open step":
        "SELECT s.id FROM runs r JOIN steps s ON s.run_id = r.id WHERE r.finished_at IS NOT NULL"
        " AND s.state IN ('ready', 'dispatched', 'running', 'waiting')",
    "an ended run has an open dead letter":
        "SELECT d.id FROM runs r JOIN dead_letters d ON d.run_id = r.id"
        " WHERE r.finished_at IS NOT NULL AND d.state = 'open'",
    "a dead step of an open run has no open dead letter, or another step has one":
        "SELECT s.id FROM runs r JOIN steps s ON s.run_id = r.id"
        " LEFT JOIN dead_letters d ON d.step_id = s.id AND d.state = 'open'"
        " WHERE r.finished_at IS NULL AND (s.state = 'dead') <> (d.id IS NOT NULL)",
    "a dead letter is open and its run is not in review":
        "SELECT d.id FROM runs r JOIN dead_letters d ON d.run_id = r.id"
        " WHERE d.state = 'open' AND r.state <> 'needs_review'",
    "a run in review has nothing to review":
        "SELECT r.id FROM runs r WHERE r.state = 'needs_review'"
        " AND NOT EXISTS (SELECT FROM dead_letters d WHERE d.run_id = r.id AND d.state = 'open')",
    "an open run has nothing to wait for":
        "SELECT r.id FROM runs r WHERE r.finished_at IS NULL AND NOT EXISTS (SELECT FROM steps s WHERE s.run_id = r.id"
        " AND s.state IN ('ready', 'dispatched', 'running', 'waiting', 'dead'))",
    "a run counts its open steps wrongly":
        "SELECT r.id FROM runs r WHERE r.open_steps <> (SELECT count(*) FROM steps s WHERE s.run_id = r.id"
        " AND r.finished_at IS NULL AND s.state NOT IN ('succeeded', 'cancelled'))",
    "a run counts its waiting steps wrongly":
        "SELECT r.id FROM runs r WHERE r.waiting_steps <> (SELECT count(*) FROM steps s WHERE s.run_id = r.id"
        " AND r.finished_at IS NULL AND s.state = 'waiting')",
    "a run's cost is not the sum of its attempts":
        "SELECT r.id FROM runs r WHERE r.cost_usd <> (SELECT coalesce(sum(a.cost_usd), 0) FROM attempts a"
        " JOIN steps s ON s.id = a.step_id WHERE s.run_id = r.id)",
    "a run's tool calls are not those that succeeded":
        "SELECT r.id FROM runs r WHERE r.tool_calls <> (SELECT count(*) FROM steps s WHERE s.run_id = r.id"
        " AND s.kind = 'tool' AND s.state = 'succeeded')",
    "an unsafe tool was attempted twice, and nobody had replayed it":
        "SELECT s.id FROM steps s JOIN attempts a ON a.step_id = s.id WHERE s.effect = 'unsafe'"
        " AND a.outcome <> 'retry' AND coalesce(a.verdict, '') NOT IN ('interrupted', 'budget') GROUP BY s.id HAVING count(*) >"
        " 1 + (SELECT count(*) FROM dead_letters d WHERE d.step_id = s.id AND d.state = 'replayed')",
    "the last event of a run does not tell its state":
        "SELECT r.id FROM runs r LEFT JOIN run_events e ON e.run_id = r.id AND e.seq = r.event_seq"
        " WHERE r.finished_at IS NOT NULL AND e.type IS DISTINCT FROM 'run.' || r.state",
    "a run has two ends":
        "SELECT run_id FROM run_events WHERE type IN ('run.succeeded', 'run.failed', 'run.cancelled', 'run.expired')"
        " GROUP BY run_id HAVING count(*) > 1",
    "a step that nobody runs has a lease, or one that runs has none":
        "SELECT id FROM steps WHERE (state = 'running') <> (lease_until IS NOT NULL)",
    "a budget holds something for a step that does not run":
        "SELECT h.budget_id, s.id FROM budget_holds h JOIN steps s ON s.id = h.step_id WHERE s.state <> 'running'",
    "a budget does not hold what its holds say":
        "SELECT b.id FROM budgets b LEFT JOIN budget_holds h ON h.budget_id = b.id GROUP BY b.id"
        " HAVING (b.held_steps, b.held_tool_calls, b.held_tokens, b.held_cost_usd) <> (coalesce(sum(h.steps), 0),"
        " coalesce(sum(h.tool_calls), 0), coalesce(sum(h.tokens), 0), coalesce(sum(h.cost_usd), 0))",
    "a budget is used beyond its ceiling":
        "SELECT id FROM budgets WHERE used_steps + held_steps > max_steps OR used_tokens + held_tokens > max_tokens"
        " OR used_tool_calls + held_tool_calls > max_tool_calls OR used_cost_usd + held_cost_usd > max_cost_usd",
    "a run with a budget of its own has not used what it and its children have":
        "SELECT b.id FROM budgets b WHERE b.run_id IS NOT NULL AND b.used_cost_usd <> (WITH RECURSIVE"
        " tree(id) AS (SELECT b.run_id UNION ALL SELECT r.id FROM tree t JOIN runs r ON r.parent_run_id = t.id)"
        " SELECT sum(r.cost_usd) FROM runs r JOIN tree t ON t.id = r.id)",
    "a reason step does not follow a whole turn":
        "SELECT s.id FROM steps s JOIN steps o ON o.run_id = s.run_id AND o.turn < s.turn AND o.id <> s.id"
        " WHERE s.kind = 'reason' AND s.state IN ('ready', 'dispatched', 'running', 'waiting')"
        " AND NOT (o.state = 'succeeded' OR (o.state = 'cancelled' AND o.kind = 'reason'))",  # its model gave way
}  # fmt: skip
"""What is broken, and the rows that show it."""

EVERYTHING = " UNION ALL ".join(
    f"SELECT $${what}$$, broken::text FROM ({query}) AS broken"  # noqa: S608  # texts of ours
    for what, query in BROKEN.items()
)
"""All of it in one statement."""


def check(database_url: str) -> None:
    """Fail when an invariant is broken, naming it and the rows."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        hold(connection)


def hold(connection: psycopg.Connection) -> None:
    """The same for whoever asks often."""
    found: dict[str, list[str]] = {}
    for what, row in connection.execute(EVERYTHING.encode()):
        found.setdefault(what, []).append(row)
    assert not found, found
