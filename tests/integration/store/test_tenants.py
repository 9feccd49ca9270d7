"""Row-level security: the ingress sees one tenant at a time, on every table, however it asks."""

import pytest
from sqlalchemy import exc, func, insert, text, update

from agentfleet.domain.errors import ProviderRejected
from agentfleet.engine.settle import Settler
from agentfleet.store import api_keys, audit, dead_letters, reads, tables
from agentfleet.store.api_keys import Principal
from tests.factories import claim, execute, submit, tally
from tests.integration.engine.outcomes import failed
from tests.scripted import Bells

OF_NOBODY = {
    "tenants",
    "bundles",
    "alembic_version",
    "test_clock",
    "batches",
    "alerts",
    "expectations",
    "pool_loads",
    "scale_decisions",
}
"""Tables without rows that belong to a tenant."""
OWNED = sorted({table.name for table in tables.metadata.tables.values()} - OF_NOBODY)


SPENT = """
WITH given AS (SELECT %s AS tenant, 'run/' || %s AS budget, %s::uuid AS step),
budget AS (INSERT INTO budgets (id, tenant_id) SELECT budget, tenant FROM given),
held AS (
    INSERT INTO budget_holds (budget_id, step_id, steps, tool_calls, tokens, cost_usd)
    SELECT budget, step, 1, 0, 0, 0 FROM given
), gone AS (
    INSERT INTO run_tombstones (id, tenant_id, state, finished_at) SELECT step, tenant, 'succeeded', now() FROM given
)
INSERT INTO batch_items (step_id, state) SELECT step, 'sending' FROM given
"""


@pytest.fixture
async def both(db, app_db, database_url) -> dict[str, str]:
    """Two tenants with a row in every table; their run ids."""
    found: dict[str, str] = {}
    for tenant in ("acme", "rival"):
        await api_keys.create(app_db, tenant, "key")
        accepted = await submit(db, tenant, key="k", fingerprint=b"f" * 32)
        await audit.record(app_db, Principal("key", tenant), "look", [accepted.run_id])
        dead = failed(await claim(db, accepted.step_id), ProviderRejected("no"))
        assert await Settler(db, Bells(), window=10)(dead, "w:1")
        execute(database_url, SPENT, tenant, accepted.run_id, accepted.step_id)
        found[tenant] = accepted.run_id
    return found


async def counts(db, tenant) -> dict[str, int]:
    async with db.reading(tenant) as connection:
        query = "SELECT count(*) FROM {}"
        return {name: await connection.scalar(text(query.format(name))) for name in OWNED}


def test_every_table_with_rows_of_tenants_is_bound_even_for_its_owner(database_url):
    query = """
        SELECT c.relname::text, c.relrowsecurity, c.relforcerowsecurity,
               array(SELECT polname::text FROM pg_policy p WHERE p.polrelid = c.oid ORDER BY 1)
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    """
    found = {name: rest for name, *rest in execute(database_url, query)}
    assert set(found) - OF_NOBODY == set(OWNED), "a new table: does it hold rows of a tenant?"
    for name in OWNED:
        assert found[name] == [True, True, ["fleet", "tenant"]], name


def test_no_unbound_table_has_a_column_of_a_tenants_row(database_url):
    query = "SELECT table_name::text FROM information_schema.columns WHERE table_schema = 'public'"
    columns = execute(database_url, query + " AND column_name IN ('tenant_id', 'run_id', 'step_id')")
    assert not {name for (name,) in columns} & OF_NOBODY


async def test_a_tenant_sees_its_own_rows_and_no_others(app_db, db, both):
    everything = await counts(db, None)
    assert all(count >= 2 for count in everything.values()), "the fleet sees all"
    mine, theirs = await counts(app_db, "acme"), await counts(app_db, "rival")
    assert all(mine.values())
    assert {name: mine[name] + theirs[name] for name in OWNED} == everything


async def test_without_a_tenant_nothing_is_seen(app_db, both):
    assert set((await counts(app_db, None)).values()) == {0}
    assert set((await counts(app_db, "")).values()) == {0}
    assert set((await counts(app_db, "acme' OR '1'='1")).values()) == {0}


async def test_a_connection_forgets_its_tenant_with_the_transaction(app_db, both):
    for _ in range(8):  # more than the pool has
        assert (await counts(app_db, "acme"))["runs"] == 1
        assert (await counts(app_db, None))["runs"] == 0


async def test_a_tenant_cannot_write_rows_of_another(app_db, both):
    row = {"id": func.gen_random_uuid(), "tenant_id": "rival", "actor": "x", "action": "x", "object": "x"}
    with pytest.raises(exc.ProgrammingError, match="row-level security"):
        async with app_db.reading("acme") as connection:
            await connection.execute(insert(tables.audit).values(row))


async def test_a_tenant_cannot_change_or_give_away_rows(app_db, db, both):
    async with app_db.reading("acme") as connection:
        touched = await connection.execute(
            update(tables.runs).where(tables.runs.c.id == both["rival"]).values(metadata="stolen")
        )
        assert touched.rowcount == 0
    with pytest.raises(exc.ProgrammingError, match="row-level security"):
        async with app_db.reading("acme") as connection:
            await connection.execute(update(tables.runs).values(tenant_id="rival"))
    assert (await tally(db, both["rival"])).run.metadata == "{}"


async def test_reads_by_id_find_nothing_of_another_tenant(app_db, db, both):
    [step] = (await tally(db, both["rival"])).steps
    [letter] = (await tally(db, both["rival"])).dead_letters
    run_id = both["rival"]
    for tenant, there in (("acme", False), ("rival", True)):
        found = [
            (await reads.runs_by_id(app_db, tenant, [run_id]))[0] is not None,
            bool(await reads.step_page(app_db, tenant, run_id, after=-1, limit=10)),
            bool(await reads.attempts_of(app_db, tenant, [step.id])),
            bool(await reads.message_page(app_db, tenant, run_id, after=(-1, -1), limit=10)),
            bool(await reads.event_page(app_db, tenant, run_id, after=0, limit=10)),
            await dead_letters.get(app_db, tenant, str(letter.id)) is not None,
            await dead_letters.open_run(app_db, tenant, str(letter.id)) is not None,
        ]
        assert found == [there] * len(found)


async def test_reads_ask_for_their_tenant_themselves_too(db, both):
    """Two locks on one door: no policy binds the fleet's role, and still it gets one tenant's rows."""
    assert (await reads.runs_by_id(db, "acme", [both["rival"]])) == [None]
    assert not await reads.event_page(db, "acme", both["rival"], after=0, limit=10)
    assert not await reads.step_page(db, "acme", both["rival"], after=-1, limit=10)
    page = await reads.run_page(db, "acme", states=[], agent=None, before=None, limit=10)
    assert [str(row.id) for row in page] == [both["acme"]]


async def test_lists_hold_one_tenants_rows(app_db, both):
    for tenant, run_id in both.items():
        page = await reads.run_page(app_db, tenant, states=[], agent=None, before=None, limit=10)
        assert [str(row.id) for row in page] == [run_id]
        letters = await dead_letters.page(app_db, tenant, dead_letters.Filter(), before=None, limit=10)
        assert [str(row.run_id) for row in letters] == [run_id]


def test_the_policies_ask_for_the_tenant_once_per_statement(database_url):
    """Not once per row: the sub-select is a constant to the planner."""
    query = "SELECT polrelid::regclass::text, pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polname = 'tenant'"
    for table, condition in execute(database_url, query):
        assert "SELECT NULLIF(current_setting" in condition or "EXISTS" in condition, table
