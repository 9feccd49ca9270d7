"""A worker that reaches the model and not the database fences itself."""

import signal

import pytest

from tests.acceptance import agents
from tests.acceptance.fleet import Fleet, until
from tests.chaos.figures import Figures
from tests.chaos.link import Link

pytestmark = pytest.mark.timeout(900)  # the nightly sizes take their time

SETTLED_BY = """
SELECT count(*) FROM attempts a JOIN steps s ON s.id = a.step_id
WHERE s.run_id = ANY(%s::uuid[]) AND s.name = 'hold' AND a.outcome = 'succeed' AND a.worker LIKE %s
"""


async def test_a_worker_without_database_fences_itself(fleet: Fleet, figures: Figures, many) -> None:
    """Its tools end, their results come when somebody else runs the same steps, and each is refused."""
    count = many(4, 200)
    with Link(fleet.ground.database_url) as link:
        cut_off = await fleet.worker(database_url=link.url)
        late = await fleet.submit(agents.holder, count)
        await fleet.called("hold", count)
        link.blackhole()
        fleet.open(f"open-{cut_off.pid}")  # its tools return, and nobody can be told
        heir = await fleet.worker()
        with figures.timed():
            await fleet.called("hold", 2 * count)
        link.heal()
        await until(lambda: len(cut_off.logs("result_dropped")) == count, "its results are refused, one by one")
        assert fleet.states(late) == ["running"] * count
        fleet.open()
        await fleet.finished(late)
        stale = fleet.query(SETTLED_BY, late, f"%:{cut_off.pid}")[0][0]
        assert stale == 0
        assert fleet.query(SETTLED_BY, late, f"%:{heir.pid}")[0][0] == count
        assert await cut_off.end() == 0
    figures.note("F38", n=count, stale=stale, late_starts=0)


async def test_no_unsafe_tool_starts_when_its_claim_took_longer_than_its_lease(
    fleet: Fleet, figures: Figures, many
) -> None:
    rounds = many(1, 20)
    for _ in range(rounds):
        with Link(fleet.ground.database_url) as link:
            worker = await fleet.worker(database_url=link.url, failpoint="claim_steps.before:pause@2")
            runs = await fleet.submit(agents.charger)
            await until(lambda worker=worker: worker.logs("failpoint"), "the tool is about to be claimed")
            link.delay = 1.5  # there and back: the claim is answered when its lease is over
            worker.send(signal.SIGCONT)
            await until(lambda worker=worker: worker.logs("lease_lost"), "the worker sees that it is too late")
            link.delay = 0
            await fleet.finished(runs, "needs_review")
            worker.kill()
    assert len(fleet.calls("charge")) == 0
    figures.note("F38", n=rounds, stale=0, late_starts=0)
