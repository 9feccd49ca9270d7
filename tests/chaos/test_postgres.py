"""Postgres dies, fails over, or undoes what it was told: everyone comes back, and nothing is lost or done twice."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, Ground, until
from tests.chaos.estate import Estate, estate
from tests.chaos.figures import Figures
from tests.chaos.producer import Stream, submit
from tests.chaos.standby import Standby
from tests.factories import execute

pytestmark = pytest.mark.timeout(900)  # the nightly sizes take their time

PATIENT = {"lease": 10, "heartbeat": 1, "statement_timeout": 5}
"""A lease that outlives a restart of the database: what is in flight goes on."""


def settlements(fleet: Fleet) -> int:
    """How many steps have succeeded so far; none can be seen while Postgres is away."""
    try:
        return fleet.settlements()
    except psycopg.OperationalError:
        return 0


def doubled(fleet: Fleet) -> int:
    return len(fleet.query("SELECT 1 FROM attempts WHERE outcome = 'succeed' GROUP BY step_id HAVING count(*) > 1"))


async def test_restarts_of_postgres_lose_nothing(fleet: Fleet, figures: Figures, many) -> None:
    runs, kills, between = many(40, 5_000), many(3, 40), many(20, 300)
    for worker in [fleet.start(**PATIENT), fleet.start(**PATIENT)]:
        await worker.ready()
    async with Stream(fleet, agents.notes, runs) as stream:
        seen = 0
        for _ in range(kills):
            await until(lambda seen=seen: settlements(fleet) > min(seen + between, runs * 4 - 1), "steps settle")
            await fleet.ground.kill_postgres()
            fleet.ground.postgres.revive()
            seen = settlements(fleet)
            with figures.timed():
                await until(lambda seen=seen: settlements(fleet) > min(seen, runs * 4 - 1), "steps settle again")
        await until(lambda: stream.ended, "all runs are accepted")
    await fleet.finished(stream.accepted)
    assert doubled(fleet) == 0
    assert len(fleet.calls("note_a")) >= runs
    figures.note("F14", n=runs, lost=0, doubled=0, kills=kills)


UNDONE = """
CREATE SEQUENCE test_tried;
CREATE SEQUENCE test_undone;
GRANT ALL ON test_tried, test_undone TO agentfleet_fleet;
CREATE FUNCTION test_undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM nextval('test_tried');
    IF random() < 0.2 THEN
        PERFORM nextval('test_undone');
        IF random() < 0.5 THEN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END IF;
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER test_claim AFTER UPDATE OF claimed_at ON steps FOR EACH STATEMENT EXECUTE FUNCTION test_undo();
CREATE TRIGGER test_settle AFTER INSERT ON attempts FOR EACH STATEMENT EXECUTE FUNCTION test_undo();
"""
MENDED = "DROP FUNCTION test_undo CASCADE; DROP SEQUENCE test_tried, test_undone"


@pytest.fixture
def undone(fleet: Fleet):
    """Every fifth claim and settle is undone by the server, as a deadlock's victim or for its isolation."""
    execute(fleet.ground.database_url, UNDONE)
    yield
    execute(fleet.ground.database_url, MENDED)


@pytest.mark.usefixtures("undone")
async def test_deadlocks_are_retried(fleet: Fleet, figures: Figures, many) -> None:
    count = many(100, 3_000)
    workers = [fleet.start(), fleet.start()]
    for worker in workers:
        await worker.ready()
    with figures.timed():
        runs = await submit(fleet.ingress, agents.notes, count)
        await fleet.finished(runs)
    tried, undone = fleet.query("SELECT t.last_value, u.last_value FROM test_tried t, test_undone u")[0]
    assert undone > tried / 10
    given_up = sum(len(worker.logs("claim_failed")) for worker in workers)
    assert doubled(fleet) == 0
    assert len(fleet.calls("note_a")) <= count + given_up, "nothing is done twice but after a claim that was given up"
    figures.note("F18", n=tried, undone=undone, failed_share=given_up / tried)


@pytest.fixture
async def pair(ground: Ground, tmp_path) -> AsyncIterator[tuple[Estate, Standby]]:
    """A fleet on one address, behind which a server and its synchronous standby are."""
    async with estate(ground, tmp_path) as made:
        standby = Standby(made.directory / "standby", made.postgres, made.url)
        made.more.callback(standby.stop)
        standby.url = standby.start()
        execute(made.url, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        execute(made.url, "SELECT pg_reload_conf()")
        synchronous = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        await until(lambda: execute(made.url, synchronous), "the standby is synchronous")
        yield made, standby


async def test_a_failover_loses_nothing_that_was_acknowledged(pair, figures: Figures, many) -> None:
    made, standby = pair
    fleet, count = made.fleet, many(24, 1_000)
    for worker in [fleet.start(**PATIENT), fleet.start(**PATIENT)]:
        await worker.ready()
    async with Stream(fleet, agents.notes, count) as stream:
        await until(lambda: len(stream.accepted) > count / 3 and settlements(fleet) > count / 3, "runs flow")
        await made.kill_postgres()
        before = len(stream.accepted)
        with figures.timed():
            execute(standby.url, "SELECT pg_promote()")
            made.moved_to(standby.url)
            await until(lambda: len(stream.accepted) > before or stream.ended, "runs are accepted again")
        await until(lambda: stream.ended, "all runs are accepted")
    lost = count - len(fleet.query("SELECT 1 FROM runs WHERE id = ANY(%s::uuid[])", stream.accepted))
    assert lost == 0
    await fleet.finished(stream.accepted)
    assert doubled(fleet) == 0
    figures.note("F15", n=count, lost=lost, doubled=0)


async def test_a_server_that_comes_back_read_only_is_waited_for(fleet: Fleet, figures: Figures) -> None:
    """As an endpoint does that leads to the old primary, or to a standby, for some seconds of a failover."""
    worker = await fleet.worker(**PATIENT)
    held = await fleet.submit(agents.holder, 3)
    await fleet.called("hold", 3)
    url = fleet.ground.database_url
    execute(url, "ALTER SYSTEM SET default_transaction_read_only = on")
    execute(url, "SELECT pg_reload_conf()")
    try:
        await until(lambda: execute(url, "SHOW default_transaction_read_only") == [("on",)], "it is read-only")
        fleet.open()
        accepting = asyncio.create_task(submit(fleet.ingress, agents.notes, 3))
        await until(lambda: worker.logs("settle_outcome_unknown"), "the worker notices")
        assert not accepting.done()
    finally:
        with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as writing:
            writing.execute("ALTER SYSTEM RESET default_transaction_read_only")
            writing.execute("SELECT pg_reload_conf()")
    with figures.timed():
        runs = await accepting
    await fleet.finished([*held, *runs])
    assert len(fleet.calls("hold")) == 3, "no result was lost, so nothing was done again"
    figures.note("F15", n=1, lost=0)
