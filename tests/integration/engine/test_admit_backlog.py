"""Admit, when very many wait: all are seen, shares stay as the weights, and everybody is told when."""

import pytest

from agentfleet.domain.admission import Heard
from agentfleet.engine.admit import Admitter
from agentfleet.store import admission as store
from tests.factories import execute
from tests.integration.engine.queues import BACKLOG, BUCKET, Time, admitter, owners, waiting
from tests.scripted import until


async def test_all_that_wait_are_seen_however_many(db, bells, bundle, admission, database_url, redis):
    """A look takes the first of each tenant; when they are served, the next ones are looked up at once."""
    execute(database_url, BACKLOG, "acme", 130, 0, BUCKET, 10)
    admission.listen(BUCKET, Heard(limits=(1e6, 1e9, 1e9)))
    await admission.close()
    await redis.hset(f"test:bucket:{BUCKET}", mapping={"levels1": 1e6, "levels2": 1e9, "levels3": 1e9})
    admit = admitter(db, bells, admission, Time())
    assert [await admit.run_once() for _ in range(4)] == [50, 50, 30, 0]


async def test_a_tenant_that_is_served_fast_is_not_left_out_until_the_next_look(
    db, bells, bundle, admission, database_url
):
    execute(database_url, "INSERT INTO tenants (id, weight) VALUES ('heavy', 19)")
    execute(database_url, BACKLOG, "heavy", 200, 0, BUCKET, 400)
    execute(database_url, BACKLOG, "light", 200, 0, BUCKET, 400)
    admission.listen(BUCKET, Heard(limits=(1e6, 60_000.0, 1e6)))
    await admission.close()
    execute(database_url, "UPDATE steps SET output_estimate = 1")
    admit = admitter(db, bells, admission, Time())
    await until(lambda: _none_left(admit), "there is no more room")
    got = await owners(db, bells.take())
    assert got.total() > 55, "more than were looked up at first"
    assert got["heavy"] >= 0.9 * got.total()


async def _none_left(admit: Admitter) -> bool:
    return not await admit.run_once()


async def test_those_who_wait_are_told_when_they_may_probably_go_on(db, bells, bundle, admission, database_url):
    """They had been told an hour, which was true while nobody knew the limits."""
    execute(database_url, BACKLOG, "acme", 40, 0, BUCKET, 6_000)
    time = Time()
    admit = admitter(db, bells, admission, time)
    assert await admit.run_once() == 10
    due = "SELECT extract(epoch FROM not_before - now())::float8 FROM steps WHERE state = 'waiting' ORDER BY ready_at"
    waits = [seconds for (seconds,) in execute(database_url, due)]
    assert waits == sorted(waits)
    assert [waits[0], waits[10], waits[29]] == [pytest.approx(6 * n, abs=6) for n in (1, 11, 30)]
    assert await admit.run_once() == 0
    assert [seconds for (seconds,) in execute(database_url, due)][29] == pytest.approx(waits[29], abs=20)


async def test_a_tenant_with_half_the_weight_expects_to_wait_twice_as_long(db, bells, bundle, admission, database_url):
    execute(database_url, "INSERT INTO tenants (id, weight) VALUES ('double', 2)")
    execute(database_url, BACKLOG, "double", 30, 0, BUCKET, 6_000)
    execute(database_url, BACKLOG, "single", 30, 0, BUCKET, 6_000)
    await admitter(db, bells, admission).run_once()
    last = "SELECT tenant_id, max(extract(epoch FROM not_before - now()))::float8 FROM steps WHERE state = 'waiting' GROUP BY 1"
    longest = dict(execute(database_url, last))
    assert longest["double"] == pytest.approx(30 * 6 * 1.5 - 60, rel=0.2)
    assert longest["single"] == pytest.approx(30 * 6 * 3 - 60, rel=0.2)


async def test_after_a_look_that_took_long_nobody_looks_for_a_while(db, bells, admission, monkeypatch):
    """Ten thousand steps are counted in a twentieth of the time at most, however often somebody new comes."""
    time, looks = Time(), 0
    admit = admitter(db, bells, admission, time)
    real = store.waiting

    async def slow(*arguments):
        nonlocal looks
        looks += 1
        time.now += 0.1
        return await real(*arguments)

    monkeypatch.setattr(store, "waiting", slow)
    await waiting(db, input_estimate=60_000)
    for _ in range(100):
        admit.wake()
        await admit.run_once()
        time.now += 0.1
    assert looks <= 6
