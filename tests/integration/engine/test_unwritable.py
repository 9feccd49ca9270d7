"""What cannot be written now waits, alone where it can, and nobody spends on what could not be recorded."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from agentfleet.domain.retry import RetryPolicy
from agentfleet.engine import settle as settle_module
from agentfleet.engine.rescue import Rescuer
from agentfleet.engine.settle import Settler
from agentfleet.store.database import FLEET_ROLE, Database, DatabaseConfig
from tests.factories import POOL, execute, make_siblings, make_tool, step_row, submit
from tests.integration.engine.locks import blocked
from tests.integration.engine.outcomes import held, returned
from tests.scripted import Script, Worker, answer, until

pytestmark = pytest.mark.usefixtures("bundle", "invariants_hold", "quick")

RAISES = """
CREATE SEQUENCE test_refused;
GRANT ALL ON test_refused TO agentfleet_fleet;
CREATE FUNCTION test_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT count(*) FROM fresh) >= {rows} THEN
        PERFORM nextval('test_refused');
        RAISE EXCEPTION USING ERRCODE = '{error}';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER test_refuse AFTER INSERT ON attempts REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION test_refuse();
"""
MENDED = "DROP FUNCTION test_refuse CASCADE"


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(settle_module, "RECONNECT_DELAY", 0.02)


@pytest.fixture
async def hasty(database_url) -> AsyncIterator[Database]:
    """Waits for a row for 0.2 s."""
    database = Database(DatabaseConfig(database_url, FLEET_ROLE, "test-hasty", pool_size=2, statement_timeout=0.4))
    await database.open()
    yield database
    await database.close()


@pytest.mark.parametrize("what", ["runs WHERE id", "steps WHERE run_id"])
async def test_a_held_row_keeps_only_its_own_run_waiting(db, hasty, bells, database_url, what):
    settler = Settler(hasty, bells, window=100)
    stuck, *others = [await make_tool(db) for _ in range(6)]
    with psycopg.connect(database_url) as holder:
        holder.execute(f"SELECT FROM {what} = %s FOR UPDATE".encode(), (stuck.run_id,))
        waiting = asyncio.create_task(settler(returned(held(stuck)), "w:1"))
        await blocked(database_url, 1)
        assert await asyncio.gather(*(settler(returned(held(one)), "w:1") for one in others)) == [True] * 5
        more = [await make_tool(db) for _ in range(3)]
        assert await asyncio.gather(*(settler(returned(held(one)), "w:1") for one in more)) == [True] * 3
        assert not waiting.done()
    assert await waiting


async def test_siblings_of_a_held_run_are_all_written_in_the_end(db, hasty, bells, database_url):
    settler = Settler(hasty, bells, window=100)
    siblings, other = await make_siblings(db, 3), await make_tool(db)
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT FROM runs WHERE id = %s FOR UPDATE", (siblings[0].run_id,))
        tasks = [
            asyncio.create_task(settler(returned(held(one, part)), "w:1"))
            for part, one in enumerate([*siblings, other])
        ]
        assert await tasks[3]
        assert not any(task.done() for task in tasks[:3])
    assert await asyncio.gather(*tasks) == [True] * 4


async def test_a_batch_that_takes_too_long_is_written_in_parts(db, bells, database_url):
    execute(database_url, RAISES.format(rows=3, error="query_canceled"))
    settler = Settler(db, bells, window=100)
    tools = [await make_tool(db) for _ in range(12)]
    assert await asyncio.gather(*(settler(returned(held(tool)), "w:1") for tool in tools)) == [True] * 12


async def test_nothing_is_claimed_while_outcomes_cannot_be_written(db, bells, database_url):
    execute(database_url, RAISES.format(rows=1, error="disk_full"))
    model = Script([answer()])
    worker = Worker(db, bells, model)
    first, second = await submit(db), await submit(db)
    paid = asyncio.create_task(worker.execute(first.step_id))
    await until(lambda: _refused(database_url, 2), "the first outcome cannot be written, as the worker knows")
    unpaid = asyncio.create_task(worker.execute(second.step_id))
    await until(lambda: _refused(database_url, 5), "it was tried again and again")
    assert model.calls == [first.step_id]
    assert (await step_row(db, second.step_id)).state == "dispatched"
    execute(database_url, MENDED)
    assert await asyncio.gather(paid, unpaid) == ["succeed"] * 2


async def test_a_drain_gives_back_what_waited_for_the_database(db, bells, database_url):
    execute(database_url, RAISES.format(rows=1, error="disk_full"))
    model, outcomes = Script([answer()]), []
    server = Worker(db, bells, model).server()
    server.open()
    first, second = await submit(db), await submit(db)
    server.start(first.step_id, outcomes.append)
    await until(lambda: _refused(database_url, 2), "the first outcome cannot be written, as the worker knows")
    server.start(second.step_id, outcomes.append)
    draining = asyncio.create_task(server.drain(60))
    await until(lambda: _refused(database_url, 4), "it was tried again and again")
    execute(database_url, MENDED)
    await draining
    assert model.calls == [first.step_id]
    assert sorted(outcomes, key=str) == [None, "succeed"]
    assert (await step_row(db, second.step_id)).state == "ready"


async def _refused(database_url: str, times: int) -> bool:
    return execute(database_url, "SELECT 1 FROM test_refused WHERE is_called AND last_value >= %s", times) != []


@pytest.mark.parametrize("answer_after", ["not_null_violation", "query_canceled", "internal_error"])
async def test_a_database_that_answers_again_is_claimed_from_whatever_it_answers(db, bells, database_url, answer_after):
    execute(database_url, RAISES.format(rows=1, error="disk_full"))
    settler = Settler(db, bells, window=100)
    writing = asyncio.create_task(settler(returned(held(await make_tool(db))), "w:1"))
    await until(lambda: _refused(database_url, 2), "the outcome cannot be written, as the settler knows")
    claiming = asyncio.create_task(settler.writable())
    execute(database_url, MENDED + "; DROP SEQUENCE test_refused")
    execute(database_url, RAISES.format(rows=1, error=answer_after))
    await claiming
    execute(database_url, MENDED)
    await asyncio.wait([writing])
    assert writing.exception() is not None or writing.result()


async def test_a_rescue_does_not_wait_for_a_held_run(db, hasty, bells, database_url, clock):
    stuck, free = await make_tool(db), await make_tool(db)
    rescuer = Rescuer(
        hasty, Settler(hasty, bells, window=100), bells, RetryPolicy(), pool=POOL, lease=30, heartbeat=0, poll=0
    )
    clock.advance(100)
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT FROM runs WHERE id = %s FOR UPDATE", (stuck.run_id,))
        assert await rescuer.run_once() == 1
        assert (await step_row(db, free.step_id)).state != "running"
    assert await rescuer.run_once() == 1
