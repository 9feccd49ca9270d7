"""The CHECKs: no row can be in a state that the transition tables do not know."""

import psycopg
import pytest

from agentfleet.domain.states import RunState, StepState
from tests.factories import execute, make_run, make_step

BAD_STEPS = {
    "an unknown state": "UPDATE steps SET state = 'sleeping'",
    "running without a lease": "UPDATE steps SET state = 'running', lease_until = NULL",
    "a lease without running": "UPDATE steps SET state = 'ready', lease_until = now()",
    "waiting without a date": "UPDATE steps SET state = 'waiting', not_before = NULL",
    "a date without waiting": "UPDATE steps SET not_before = now()",
    "an unknown kind": "UPDATE steps SET kind = 'dream'",
    "an unknown effect": "UPDATE steps SET effect = 'harmless'",
    "a second step of the same seq":
        "INSERT INTO steps (id, run_id, tenant_id, pool, agent, seq, kind, name, turn, input, state)"
        " SELECT gen_random_uuid(), run_id, tenant_id, pool, agent, seq, kind, name, turn, input, 'ready' FROM steps",
}  # fmt: skip
BAD_RUNS = {
    "an unknown state": "UPDATE runs SET state = 'sleeping'",
    "waiting without a reason": "UPDATE runs SET state = 'waiting'",
    "a reason without waiting": "UPDATE runs SET blocked_on = 'timer'",
    "an unknown reason": "UPDATE runs SET state = 'waiting', blocked_on = 'weather'",
    "ended without an end": "UPDATE runs SET state = 'failed'",
    "an end without having ended": "UPDATE runs SET finished_at = now()",
    "success without output": "UPDATE runs SET state = 'succeeded', finished_at = now()",
    "output without success": "UPDATE runs SET output = '1'",
    "less than no open step": "UPDATE runs SET open_steps = -1",
    "more waiting than open steps": "UPDATE runs SET open_steps = 1, waiting_steps = 2",
    "an unknown bundle": "UPDATE runs SET bundle_id = 'nobody'",
}
BAD_OTHERS = {
    "a message of an unknown role": "INSERT INTO messages SELECT id, 9, 0, 'tool', '[]' FROM runs",
    "a second message of the same turn and part": "INSERT INTO messages SELECT id, 0, 0, 'user', '[]' FROM runs",
    "a dead letter of nothing": "INSERT INTO dead_letters (id, verdict, error) VALUES (gen_random_uuid(), 'x', '{}')",
    "a dead letter of a step and raw": "INSERT INTO dead_letters (id, step_id, verdict, error, raw)"
    " SELECT gen_random_uuid(), id, 'x', '{}', 'x' FROM steps",
    "a dead letter in an unknown state": "INSERT INTO dead_letters (id, state, verdict, error, raw)"
    " VALUES (gen_random_uuid(), 'lost', 'x', '{}', 'x')",
    "two open dead letters of one step": "INSERT INTO dead_letters (id, step_id, verdict, error)"
    " SELECT gen_random_uuid(), id, 'x', '{}' FROM steps, generate_series(1, 2)",
    "a request key of no run": "INSERT INTO request_keys (tenant_id, key, fingerprint, run_id)"
    " VALUES ('acme', 'k', '', gen_random_uuid())",
}  # fmt: skip


def accepted(database_url: str, statements: dict[str, str]) -> list[str]:
    """The names of the statements that the schema lets pass. All are rolled back."""
    found = []
    for name, statement in statements.items():
        with psycopg.connect(database_url) as connection:
            try:
                connection.execute(statement.encode())
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                found.append(name)
            except psycopg.IntegrityError:
                pass
            connection.rollback()
    return found


@pytest.mark.parametrize("bad", [BAD_STEPS, BAD_RUNS, BAD_OTHERS], ids=["steps", "runs", "others"])
async def test_what_the_transition_tables_do_not_know_cannot_be_stored(db, database_url, bad):
    await make_step(db, StepState.READY)
    assert accepted(database_url, {"the row itself": "UPDATE steps SET name = name"}) == ["the row itself"]
    assert accepted(database_url, bad) == []


async def test_every_known_state_can_be_stored(db, database_url):
    for state in StepState:
        await make_step(db, state)
    for state in RunState:
        await make_run(db, state)
    [(steps, runs)] = execute(
        database_url, "SELECT (SELECT count(DISTINCT state) FROM steps), (SELECT count(DISTINCT state) FROM runs)"
    )
    assert (steps, runs) == (len(StepState), len(RunState))
