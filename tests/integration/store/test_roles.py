"""What the two roles may do, and what the few functions tell that look past row-level security."""

import hashlib

import psycopg
import pytest
from sqlalchemy import exc, text

from agentfleet.domain.states import StepState
from agentfleet.store import api_keys, audit, runs
from agentfleet.store.api_keys import Principal
from tests.factories import execute, make_step, submit

ADD, CHANGE = {"SELECT", "INSERT"}, {"SELECT", "INSERT", "UPDATE"}
EVERYTHING = {"SELECT", "INSERT", "UPDATE", "DELETE"}
APP = {
    "tenants": ADD, "api_keys": ADD, "bundles": ADD, "request_keys": ADD, "messages": ADD, "run_events": ADD,
    "attempts": ADD, "audit": ADD, "runs": CHANGE, "steps": CHANGE, "dead_letters": CHANGE, "budgets": CHANGE,
    "budget_holds": {"SELECT", "INSERT", "DELETE"}, "batch_items": {"SELECT"}, "alembic_version": {"SELECT"},
    "pool_loads": {"SELECT"}, "scale_decisions": CHANGE, "expectations": {"SELECT", "INSERT", "DELETE"},
    "run_tombstones": {"SELECT"},
}  # fmt: skip
FLEET = {table: EVERYTHING if table != "audit" else ADD for table in (*APP, "batches", "alerts")}
GRANTS = """
SELECT c.relname::text, array_agg(a.privilege_type ORDER BY 1) FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'test_clock'
  AND a.grantee = %s::regrole GROUP BY 1
"""


@pytest.mark.parametrize(("role", "expected"), [("agentfleet_app", APP), ("agentfleet_fleet", FLEET)])
def test_a_role_has_these_grants_and_no_others(database_url, role, expected):
    granted = {table: set(privileges) for table, privileges in execute(database_url, GRANTS, role)}
    granted["alembic_version"] = granted["alembic_version"] & EVERYTHING
    if role == "agentfleet_fleet":
        expected = {**expected, "alembic_version": granted["alembic_version"]}
    assert granted == expected


def test_the_roles_cannot_log_in_and_bypass_nothing(database_url):
    query = "SELECT rolcanlogin, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = ANY(%s)"
    found = execute(database_url, query, ["agentfleet_app", "agentfleet_fleet", "agentfleet_scaler"])
    assert found == [(False, False, False)] * 3


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"])
async def test_nobody_rewrites_the_audit(db, app_db, statement):
    await audit.record(app_db, Principal("key-1", "acme"), "cancel", ["run-1"])
    for one in (db, app_db):
        with pytest.raises(exc.ProgrammingError, match="permission denied"):
            async with one.reading("acme") as connection:
                await connection.execute(text(statement))


async def test_a_key_is_known_until_it_is_revoked(app_db, database_url):
    key = await api_keys.create(app_db, "acme", "laptop")
    who = await api_keys.authenticate(app_db, key)
    assert who.tenant_id == "acme"
    assert await api_keys.authenticate(app_db, key + "x") is None
    execute(database_url, "UPDATE api_keys SET revoked_at = now()")
    assert await api_keys.authenticate(app_db, key) is None


async def test_the_key_itself_is_not_stored(app_db, database_url):
    key = await api_keys.create(app_db, "acme", "laptop")
    [(digest,)] = execute(database_url, "SELECT secret_sha256 FROM api_keys")
    assert bytes(digest) == hashlib.sha256(key.encode()).digest()


async def test_the_pool_is_open_while_nobody_waits_and_the_window_has_room(db, app_db, database_url):
    async def is_open(room: int) -> bool:
        async with app_db.reading() as connection:  # bound to no tenant: it sees all the same
            return await connection.scalar(text("SELECT agentfleet_pool_open('default', :room)"), {"room": room})

    assert await is_open(1)
    assert not await is_open(0)
    await make_step(db, StepState.DISPATCHED, tenant="rival")
    assert not await is_open(1)
    assert await is_open(2)
    await make_step(db, StepState.READY, tenant="rival")
    assert not await is_open(100)


async def test_the_pool_of_others_does_not_close_mine(db, database_url):
    await make_step(db, StepState.READY, pool="gpu")
    assert execute(database_url, "SELECT agentfleet_pool_open('default', 1)") == [(True,)]


async def test_watching_tells_progress_and_no_content(db, app_db, database_url):
    accepted = await submit(db, "rival")
    seen = await runs.watch(app_db, [accepted.run_id])
    assert (seen[accepted.run_id].state, seen[accepted.run_id].event_seq) == ("queued", 1)
    columns = "SELECT proargnames FROM pg_proc WHERE proname = 'agentfleet_watch_runs'"
    assert execute(database_url, columns) == [(["wanted", "id", "version", "event_seq", "state"],)]


def test_functions_that_look_past_row_level_security_have_a_fixed_search_path_and_no_public_access(database_url):
    query = (
        "SELECT proname::text, proconfig::text[], has_function_privilege('public', oid, 'EXECUTE'),"
        " proowner::regrole::text"
        " FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )
    found = execute(database_url, query)
    assert {name for name, *_ in found} == {
        "agentfleet_pool_open",
        "agentfleet_authenticate",
        "agentfleet_watch_runs",
        "agentfleet_queue_position",
        "agentfleet_bucket_position",
        "agentfleet_worker_position",
        "agentfleet_waits_since",
        "agentfleet_pool_pace",
        "agentfleet_batch_time",
        "agentfleet_edit_first_message",
        "agentfleet_pool_load",
    }
    for name, config, public, owner in found:
        assert config == ["search_path=pg_catalog, public, pg_temp"], name
        assert owner == "agentfleet_fleet", name
        assert public == (name == "agentfleet_pool_open"), name


async def test_the_scaler_sees_how_much_there_is_to_do_and_nothing_else(db, database_url):
    for state in (StepState.READY, StepState.DISPATCHED, StepState.RUNNING, StepState.WAITING, StepState.SUCCEEDED):
        await make_step(db, state, tenant="rival")
    await make_step(db, StepState.WAITING, due=600)
    await make_step(db, StepState.WAITING, bucket="acme/opus")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("GRANT SELECT ON test_clock TO agentfleet_scaler")
        connection.execute("GRANT agentfleet_scaler TO CURRENT_USER")
        connection.execute("SET ROLE agentfleet_scaler")
        assert connection.execute("SELECT pool, steps FROM agentfleet_demand").fetchall() == [("default", 4)]
        for table in (*APP, "alerts"):
            granted = connection.execute("SELECT has_table_privilege(%s, 'SELECT, INSERT, UPDATE, DELETE')", [table])
            assert granted.fetchone() == (False,), table
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT agentfleet_pool_load('default', 1)")


def test_a_stranger_sees_nothing(database_url):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger_for_a_moment")
        try:
            for table in (*APP, "alembic_version"):
                granted = connection.execute(
                    "SELECT has_table_privilege('stranger_for_a_moment', %s, 'SELECT')", [table]
                )
                assert granted.fetchone() == (False,), table
        finally:
            connection.execute("DROP ROLE stranger_for_a_moment")
