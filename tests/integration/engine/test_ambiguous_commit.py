"""A COMMIT whose answer is lost: what was written is recognised by its key, what was not is written again."""

import asyncio

import psycopg
import pytest

from agentfleet.engine import settle as settle_module
from agentfleet.engine.settle import Settler
from agentfleet.engine.submit import Submitter
from tests.factories import TENANT, execute, make_siblings, make_tool, new_run, tally
from tests.integration.engine.locks import blocked
from tests.integration.engine.outcomes import held, returned

pytestmark = pytest.mark.usefixtures("bundle", "invariants_hold")


@pytest.fixture(autouse=True)
def no_delay(monkeypatch):
    monkeypatch.setattr(settle_module, "RECONNECT_DELAY", 0)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_settle_whose_commit_was_cut_is_settled_exactly_once(db, far_db, bells, proxy, when):
    settler = Settler(far_db, bells, window=1000)
    warm, *tools = [await make_tool(db) for _ in range(4)]
    assert await settler(returned(held(warm)), "w:1")  # the statement is prepared: the next request is the commit

    proxy.cut_next(when)
    assert await asyncio.gather(*(settler(returned(held(tool)), "w:1") for tool in tools)) == [True] * 3
    assert proxy.cuts == 1
    for tool in tools:
        found = await tally(db, tool.run_id)
        assert [a.outcome for a in found.attempts] == ["succeed"]
        assert found.states == ["succeeded", "dispatched"]


async def test_a_settle_whose_backend_was_terminated_is_settled_exactly_once(db, bells, database_url):
    tools = await make_siblings(db, 2)
    with psycopg.connect(database_url) as holder:
        holder.execute("SELECT FROM runs WHERE id = %s FOR UPDATE", (tools[0].run_id,))
        settling = asyncio.create_task(Settler(db, bells, window=10)(returned(held(tools[0])), "w:1"))
        await blocked(database_url, 1)
        execute(database_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    assert await settling
    assert (await tally(db, tools[0].run_id)).states == ["succeeded", "running"]


async def test_a_submit_whose_commit_arrived_is_answered(far_db, db, bells, proxy):
    submit = Submitter(far_db, bells, window=1000)
    await submit(TENANT, new_run())
    proxy.cut_next("after", b"COMMIT")
    run = new_run()
    submitted = await submit(TENANT, run)
    assert (submitted.run_id, proxy.cuts) == (run.run_id, 1)
    assert (await tally(db, run.run_id)).run.state == "queued"


async def test_a_submit_whose_commit_did_not_arrive_is_refused_and_can_be_repeated(far_db, database_url, bells, proxy):
    submit = Submitter(far_db, bells, window=1000)
    await submit(TENANT, new_run())
    run = new_run(key="k", fingerprint=b"f" * 32)
    proxy.cut_next("before", b"COMMIT")
    with pytest.raises(psycopg.OperationalError):
        await submit(TENANT, run)
    assert not (await submit(TENANT, new_run(key="k", fingerprint=b"f" * 32))).replayed
    assert execute(database_url, "SELECT count(*) FROM runs") == [(2,)]


async def test_a_batch_with_a_taken_key_is_answered_although_its_commit_was_cut(far_db, database_url, bells, proxy):
    submit = Submitter(far_db, bells, window=1000)
    first = await submit(TENANT, new_run(key="k", fingerprint=b"f" * 32))
    proxy.cut_next("after", b"COMMIT")
    runs = new_run(), new_run(key="k", fingerprint=b"f" * 32)
    fresh, repeated = await asyncio.gather(*(submit(TENANT, run) for run in runs))
    assert (fresh.run_id, repeated.run_id, repeated.replayed) == (runs[0].run_id, first.run_id, True)
    assert execute(database_url, "SELECT count(*) FROM runs") == [(2,)]
