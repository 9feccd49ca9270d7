"""Every hot statement is served by the indexes that its header names, on a table that is mostly history.

Asked of the hot connections themselves: their settings, their role, their generic plans.
"""

import re
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from agentfleet.store import reads
from agentfleet.store.database import APP_ROLE, FLEET_ROLE, DatabaseConfig
from tests.conftest import with_database
from tests.factories import execute
from tests.integration.store.test_statements import FILES, LOADED

HOT = {"steps", "runs", "messages", "run_events", "attempts", "dead_letters", "request_keys", "budgets", "budget_holds"}
"""Tables that grow: reading one as a whole is a bug."""
AS_TENANT = {
    "submit_runs",
    "find_request_keys",
    "read_accepted",
    "read_waiting",
    "sum_usage",
    "lock_runs",
    "lock_trees",
    "end_runs",
    "open_run_budget",
    "change_budget",
    "read_lineage",
    "read_day",
    "lock_reviews",
    "replay_dead_letters",
}
"""Statements that the ingress runs, under row-level security."""
FRESH = {"sum_usage"}
"""Statements that are planned whenever they run: their connections are not hot."""
RARE = {"cap_tenant"}
"""What people run by hand may read all of a tenant's runs of a day."""
SMALL = {"authenticate", "bury_message", "find_bundles", "raise_alert", "save_bundle"}
"""Inserts, and lookups in tables that stay small."""
WHOLE = {
    "runs_by_tenant": r"\(id (=|>=) ",
    "steps_run_id_key": r"\(run_id = ",
    "steps_pkey": r"\(\(?id (=|>=) ",
    "runs_pkey": r"\(id (=|>=) ",
}
"""What must be among the conditions of an index, or else it is read as a whole."""
INSERTS = {"submit_runs"}
"""Statements that look nothing up themselves."""
READS = {"_RUNS": "runs_pkey", "_EVENTS": "run_events_pkey"}
"""What every poll and every event stream asks."""
FUNCTIONS = {
    "agentfleet_pool_open": ["steps_dispatched", "steps_ready"],
    "agentfleet_watch_runs": ["runs_pkey"],
    "agentfleet_authenticate": ["api_keys_secret_sha256_key"],
    "agentfleet_queue_position": ["steps_pkey", "steps_ready"],
    "agentfleet_bucket_position": ["steps_pkey", "steps_admission"],
    "agentfleet_worker_position": ["steps_pkey", "steps_dispatched"],
    "agentfleet_waits_since": ["steps_pkey", "attempts_pkey"],
    "agentfleet_pool_pace": ["attempts_pkey", "steps_pkey"],
    "agentfleet_pool_load": ["steps_ready", "steps_dispatched", "steps_lease", "steps_due", "steps_admission"],
}

FILL = """
SET session_replication_role = replica;  -- no foreign keys while filling
INSERT INTO bundles (id, agent, spec) VALUES ('bundle-1', 'tester', '{}');
CREATE TEMP TABLE made AS
    SELECT n, ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id, 'tenant-' || n % 20 AS tenant_id,
           n > 4800 AS open
    FROM generate_series(1, 5000) n;
INSERT INTO runs (id, tenant_id, agent, bundle_id, pool, state, input, output, event_seq, steps_total, open_steps,
                  finished_at, deadline_at)
    SELECT id, tenant_id, 'tester', 'bundle-1', 'default', CASE WHEN open THEN 'running' ELSE 'succeeded' END, '""',
           CASE WHEN open THEN NULL ELSE '""' END, 3, 10, open::int,
           CASE WHEN open THEN NULL ELSE now() END, now() + interval '1 hour' FROM made;
INSERT INTO steps (id, run_id, tenant_id, pool, agent, seq, kind, name, turn, input, state, fence, lease_until,
                   not_before, dispatched_at, claimed_at)
    SELECT ('01900000-0000-7000-9000-' || lpad(to_hex(n * 16 + seq), 12, '0'))::uuid, id, tenant_id, 'default',
           'tester', seq, 'reason', 'm', seq, '{}', state, 1, CASE state WHEN 'running' THEN now() END,
           CASE state WHEN 'waiting' THEN now() END, now(), now()
    FROM made, generate_series(0, 9) seq, LATERAL (SELECT CASE WHEN open AND seq = 9
        THEN (ARRAY['ready', 'dispatched', 'running', 'waiting', 'dead'])[n % 5 + 1] ELSE 'succeeded' END AS state) s;
INSERT INTO attempts (step_id, fence, attempt, outcome, dispatched_at, claimed_at, finished_at)
    SELECT id, 1, 1, 'succeed', now(), now(), now() FROM steps WHERE state = 'succeeded';
INSERT INTO messages (run_id, turn, part, role, content)
    SELECT id, turn, 0, 'user', '[]' FROM made, generate_series(0, 2) turn;
INSERT INTO run_events (run_id, seq, type, data) SELECT id, seq, 'x', '{}' FROM made, generate_series(1, 3) seq;
INSERT INTO request_keys (tenant_id, key, fingerprint, run_id) SELECT tenant_id, 'k' || n, '', id FROM made;
INSERT INTO dead_letters (id, tenant_id, run_id, step_id, state, verdict, error)
    SELECT gen_random_uuid(), tenant_id, run_id, id, CASE state WHEN 'dead' THEN 'open' ELSE 'replayed' END, 'x', '{}'
    FROM steps WHERE state = 'dead' OR seq = 5;
INSERT INTO tenants (id) SELECT DISTINCT tenant_id FROM made;
INSERT INTO api_keys (id, tenant_id, name, secret_sha256)
    SELECT gen_random_uuid(), tenant_id, 'key', sha256(n::text::bytea) FROM made;
SET session_replication_role = origin;
ANALYZE;
"""
"""5,000 runs of ten steps, all but 200 of them done."""


@pytest.fixture(scope="module")
def history(server_urls, template) -> Iterator[str]:
    """A database with 50,000 steps, nearly all of them done; its URL."""
    name = "agentfleet_history"
    with psycopg.connect(server_urls.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        url = with_database(server_urls.database_url, name)
        execute(url, FILL)
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def plan(url: str, role: str, statement: bytes, parameters: int) -> list[dict]:
    """Every node of the generic plan, as a hot connection of ``role`` makes it."""
    session = DatabaseConfig(url, role, "test-plans").session()
    options = " ".join(f"-c {name}={value}" for name, value in session.items())
    nulls = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
    with psycopg.connect(url, autocommit=True, options=options) as connection:
        connection.execute(b"PREPARE hot AS " + statement)
        [(found,)] = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE hot {nulls}").fetchall()
    return list(_nodes(found[0]["Plan"]))


def _nodes(node: dict) -> Iterator[dict]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def used(nodes: list[dict]) -> set[str]:
    """The indexes of a plan. A tenant's runs are found by tenant and id as well as by id alone."""
    found = {node["Index Name"] for node in nodes if "Index Name" in node}
    return found | {"runs_pkey"} if "runs_by_tenant" in found else found


def read_whole(nodes: list[dict]) -> set[str]:
    """The tables that a plan reads from end to end, or as far as they are one tenant's."""
    scans = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"} & HOT
    return scans | {
        node["Index Name"]
        for node in nodes
        if node.get("Index Name") in WHOLE and not re.search(WHOLE[node["Index Name"]], node.get("Index Cond", ""))
    }


def named_indexes(url: str, text: str) -> set[str]:
    """The indexes that a statement's header promises."""
    known = {name for (name,) in execute(url, "SELECT indexname::text FROM pg_indexes WHERE schemaname = 'public'")}
    header = " ".join(re.findall(r"^-- (.*)$", text, re.MULTILINE))
    return known & set(re.findall(r"\w+", header))


CASES = [
    (name, role)
    for name in sorted(FILES) if name not in SMALL | RARE and name != "watch_runs"
    for role in ((FLEET_ROLE, APP_ROLE) if name in AS_TENANT else (FLEET_ROLE,))
]  # fmt: skip


@pytest.mark.parametrize(("name", "role"), CASES)
def test_a_hot_statement_uses_the_indexes_of_its_header_and_reads_no_table_whole(history, name, role):
    statement = LOADED[name.upper()]
    nodes = plan(history, role, statement.sql, len(statement.names))
    promised = named_indexes(history, FILES[name])
    assert promised or name in INSERTS, "its header names no index"
    assert promised <= used(nodes)
    assert read_whole(nodes) == set()


@pytest.mark.parametrize("name", READS)
def test_polls_and_streams_read_by_index(history, name):
    statement = getattr(reads, name)._statement
    nodes = plan(history, APP_ROLE, statement.sql, len(statement.names))
    assert READS[name] in used(nodes)
    assert read_whole(nodes) == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_looks_past_row_level_security_reads_by_index(history, name):
    [(body, arguments)] = execute(history, "SELECT prosrc, proargnames FROM pg_proc WHERE proname = %s", name)
    inputs = [argument for argument in arguments if argument in {"wanted", "room", "secret"}]
    for number, argument in enumerate(inputs, 1):
        body = re.sub(rf"\b{argument}\b", f"${number}", body)
    nodes = plan(history, FLEET_ROLE, body.encode(), len(inputs))
    assert set(FUNCTIONS[name]) <= used(nodes)
    assert read_whole(nodes) == set()


def test_a_plan_that_was_made_on_an_empty_table_serves_a_full_one(history, database_url):
    """Hot connections plan once, perhaps on their first day."""
    broken = {}
    for name, role in CASES:
        if name in FRESH:
            continue
        statement = LOADED[name.upper()]
        nodes = plan(database_url, role, statement.sql, len(statement.names))
        if wrong := read_whole(nodes) | (named_indexes(history, FILES[name]) - used(nodes)):
            broken[name, role] = wrong
    assert broken == {}
