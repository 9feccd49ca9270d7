"""Submit: durable when it returns, and admitted at once when nobody waits."""

import asyncio

import psycopg
import pytest

from agentfleet.engine.submit import Submitter
from tests import factories
from tests.factories import POOL, TENANT, execute, new_run, tally
from tests.scripted import until

pytestmark = pytest.mark.usefixtures("bundle", "invariants_hold")


async def test_a_submitted_run_is_committed_when_the_call_returns(app_db, db, database_url, bells):
    submitted = await Submitter(app_db, bells, window=10)(TENANT, new_run())

    [row] = execute(database_url, "SELECT state, open_steps, steps_total FROM runs WHERE id = %s", submitted.run_id)
    assert row == ("queued", 1, 1)
    found = await tally(db, submitted.run_id)
    assert [(m.turn, m.part, m.role) for m in found.messages] == [(0, 0, "user")]
    assert [(e.seq, e.type) for e in found.events] == [(1, "run.queued")]
    assert not submitted.replayed


async def test_an_idle_pool_dispatches_the_first_step_without_a_dispatcher(app_db, db, bells):
    run = new_run()
    await Submitter(app_db, bells, window=10)(TENANT, run)
    await until(lambda: _rung(bells), "the doorbell rang")
    assert bells.take() == [run.step_id]
    assert (await tally(db, run.run_id)).states == ["dispatched"]
    assert not bells.woken


async def test_a_full_window_keeps_the_step_ready_and_wakes_the_dispatcher(app_db, db, bells):
    submit = Submitter(app_db, bells, window=1)
    await submit(TENANT, new_run())
    late = new_run()
    await submit(TENANT, late)
    await until(lambda: _woken(bells), "the dispatcher was woken")
    assert (await tally(db, late.run_id)).states == ["ready"]
    assert bells.woken == [POOL]
    assert late.step_id not in bells.take()


async def test_nobody_overtakes_the_backlog(app_db, db, bells):
    await factories.submit(db, window=0)
    late = new_run()
    await Submitter(app_db, bells, window=1000)(TENANT, late)
    assert (await tally(db, late.run_id)).states == ["ready"]


async def test_concurrent_submits_share_transactions_and_each_gets_its_own_run(app_db, db, database_url, bells):
    runs = [new_run() for _ in range(60)]
    submit = Submitter(app_db, bells, window=1000)
    done = await asyncio.gather(*(submit(TENANT, run) for run in runs))
    assert [d.run_id for d in done] == [run.run_id for run in runs]
    [(transactions,)] = execute(database_url, "SELECT count(DISTINCT xmin::text) FROM runs")
    assert transactions < len(runs)


async def test_an_unwritable_run_fails_alone(app_db, db, bells):
    submit = Submitter(app_db, bells, window=1000)
    poison = new_run(input='"a\x00b"')
    runs = [new_run(), poison, new_run(metadata="\ud800"), new_run()]
    done = await asyncio.gather(*(submit(TENANT, run) for run in runs), return_exceptions=True)
    assert [getattr(d, "run_id", None) for d in done] == [runs[0].run_id, None, None, runs[3].run_id]
    assert isinstance(done[1], psycopg.DataError)
    assert isinstance(done[2], UnicodeEncodeError)


async def test_two_tenants_never_share_a_statement(app_db, db, database_url, bells):
    submit = Submitter(app_db, bells, window=1000)
    runs = [(tenant, new_run()) for tenant in ("acme", "rival") * 10]
    await asyncio.gather(*(submit(tenant, run) for tenant, run in runs))
    owners = dict(execute(database_url, "SELECT id::text, tenant_id FROM runs"))
    assert owners == {run.run_id: tenant for tenant, run in runs}


async def test_a_slow_broker_does_not_delay_the_answer(app_db, bells):
    stuck = asyncio.Event()

    async def never(doorbells):
        await stuck.wait()

    bells.publish = never
    submitted = await Submitter(app_db, bells, window=10)(TENANT, new_run())
    assert submitted.run_id
    stuck.set()


async def _rung(bells):
    return bells.rung


async def _woken(bells):
    return bells.woken
