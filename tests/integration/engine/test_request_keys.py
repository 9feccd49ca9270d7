"""Request keys: a repeated request gets the run that the first one made."""

import asyncio

import psycopg
import pytest

from agentfleet.engine.submit import KeyReused, Submitter
from tests.factories import TENANT, execute, new_run
from tests.integration.engine.locks import blocked
from tests.scripted import until

pytestmark = pytest.mark.usefixtures("bundle", "invariants_hold")

COUNT = "SELECT count(*) FROM runs"


def keyed(key: str, body: bytes = b"same"):
    return new_run(key=key, fingerprint=body.ljust(32))


async def test_the_same_key_and_body_returns_the_first_run(app_db, database_url, bells):
    submit = Submitter(app_db, bells, window=10)
    first = await submit(TENANT, keyed("k"))
    again = await submit(TENANT, keyed("k"))
    assert (again.run_id, again.created_at, again.replayed) == (first.run_id, first.created_at, True)
    assert execute(database_url, COUNT) == [(1,)]


async def test_the_same_key_with_another_body_is_refused(app_db, database_url, bells):
    submit = Submitter(app_db, bells, window=10)
    await submit(TENANT, keyed("k"))
    with pytest.raises(KeyReused):
        await submit(TENANT, keyed("k", b"other"))
    assert execute(database_url, COUNT) == [(1,)]


async def test_a_key_belongs_to_one_tenant(app_db, database_url, bells):
    submit = Submitter(app_db, bells, window=10)
    mine, theirs = await submit("acme", keyed("k")), await submit("rival", keyed("k", b"other"))
    assert mine.run_id != theirs.run_id
    assert not theirs.replayed


async def test_the_same_key_twice_in_one_batch_makes_one_run(app_db, database_url, bells):
    submit = Submitter(app_db, bells, window=10)
    done = await asyncio.gather(*(submit(TENANT, keyed("k")) for _ in range(10)))
    assert len({d.run_id for d in done}) == 1
    assert sorted(d.replayed for d in done) == [False] + [True] * 9
    assert execute(database_url, COUNT) == [(1,)]


async def test_the_same_key_from_two_connections_at_once_makes_one_run(app_db, db, database_url, bells):
    with psycopg.connect(database_url) as holder:  # holds both back until both wait
        holder.execute("LOCK TABLE request_keys IN SHARE MODE")
        racing = [asyncio.create_task(Submitter(one, bells, window=10)(TENANT, keyed("k"))) for one in (app_db, db)]
        await blocked(database_url, 2)
    done = await asyncio.gather(*racing)
    assert len({d.run_id for d in done}) == 1
    assert sorted(d.replayed for d in done) == [False, True]
    assert execute(database_url, COUNT) == [(1,)]


async def test_a_reused_key_harms_nobody_else_in_its_batch(app_db, database_url, bells):
    submit = Submitter(app_db, bells, window=1000)
    await submit(TENANT, keyed("taken"))
    runs = [new_run(), keyed("taken", b"other"), keyed("fresh"), keyed("taken"), new_run()]
    done = await asyncio.gather(*(submit(TENANT, run) for run in runs), return_exceptions=True)

    assert isinstance(done[1], KeyReused)
    assert [d.run_id for d in (done[0], done[2], done[4])] == [runs[0].run_id, runs[2].run_id, runs[4].run_id]
    assert done[3].replayed
    assert execute(database_url, COUNT) == [(4,)]
    await until(lambda: _all_rung(bells, 4), "every accepted run was published")


async def test_batches_with_the_same_keys_in_another_order_do_not_deadlock(app_db, db, database_url, bells):
    with psycopg.connect(database_url) as holder:  # takes the key in the middle, and gives it back when both wait
        holder.execute("INSERT INTO request_keys VALUES (%s, 'm', '', gen_random_uuid())", (TENANT,))
        submits = [Submitter(one, bells, window=1000) for one in (app_db, db)]
        racing = [
            asyncio.create_task(submit(TENANT, keyed(key)))
            for submit, order in zip(submits, ("amz", "zma"), strict=True) for key in order
        ]  # fmt: skip
        await blocked(database_url, 2)
        holder.rollback()
    done = await asyncio.gather(*racing)
    assert len({d.run_id for d in done}) == 3
    assert execute(database_url, COUNT) == [(3,)]


async def _all_rung(bells, count):
    return len(bells.rung) == count
