"""Ended runs go when they were kept for long enough, and nothing else does."""

from sqlalchemy import insert

from agentfleet.domain.retention import FOREVER, Keep
from agentfleet.domain.states import RunState, StepState
from agentfleet.engine import prune
from agentfleet.engine.prune import Pruner, RunPruner, bounded
from agentfleet.store import retention, tables
from agentfleet.store.ids import new_id
from agentfleet.store.retention import Due
from tests.factories import execute, make_run, make_step, tally
from tests.retention.conftest import DAY, ended

MONTH = Keep(runs=30 * DAY)
TABLES = (
    "runs",
    "steps",
    "attempts",
    "messages",
    "run_events",
    "request_keys",
    "dead_letters",
    "budgets",
    "batch_items",
)


async def swept(db, keep: Keep) -> int:
    """Prune until nothing is due; of how many runs."""
    pruner, count = RunPruner(db, keep), 0
    while done := await pruner.run_once():
        count += done
    return count


def rows(database_url: str) -> dict[str, int]:
    return {name: execute(database_url, f"SELECT count(*) FROM {name}")[0][0] for name in TABLES}  # noqa: S608


def runs_left(database_url: str) -> set[str]:
    return {one for (one,) in execute(database_url, "SELECT id::text FROM runs")}


async def test_nothing_goes_until_somebody_says_so(db, database_url) -> None:
    run_id = await ended(db, 4_000)
    assert await swept(db, Keep()) == 0
    assert runs_left(database_url) == {run_id}


async def test_a_run_goes_with_all_that_belongs_to_it_and_leaves_a_tombstone(db, database_url) -> None:
    old, young = await ended(db, 31), await ended(db, 29)
    [step_id] = execute(database_url, "SELECT id FROM steps WHERE run_id = %s LIMIT 1", old)[0]
    letter = {"id": new_id(), "tenant_id": "acme", "run_id": old, "step_id": step_id, "state": "replayed",
              "verdict": "permanent", "error": "{}"}  # fmt: skip
    async with db.reading() as connection:
        await connection.execute(insert(tables.dead_letters).values(letter))
        await connection.execute(insert(tables.budgets).values(id=f"run/{old}", tenant_id="acme", run_id=old))
        await connection.execute(insert(tables.batch_items).values(step_id=step_id, state="succeeded"))
    assert await swept(db, MONTH) == 1
    assert runs_left(database_url) == {young}
    assert rows(database_url) == {
        "runs": 1, "steps": 2, "attempts": 2, "messages": 1, "run_events": 2, "request_keys": 1, "dead_letters": 0,
        "budgets": 0, "batch_items": 0,
    }  # fmt: skip
    stones = "SELECT id::text, tenant_id, state, archived_to, deleted_at > finished_at FROM run_tombstones"
    assert execute(database_url, stones) == [(old, "acme", "succeeded", None, True)]


async def test_what_somebody_may_still_need_stays_however_old(db, database_url) -> None:
    kept = {
        await make_run(db, RunState.RUNNING, created_at="2001-01-01"),
        (await make_step(db, StepState.DEAD)).run_id,
        (await make_step(db, StepState.WAITING)).run_id,
    }
    parent = await ended(db, 400)
    child = await make_run(db, RunState.RUNNING, parent_run_id=parent)
    grandparent_of_one = await ended(db, 400)
    middle = await ended(db, 400, parent_run_id=grandparent_of_one)
    grandchild = await make_run(db, RunState.RUNNING, parent_run_id=middle)
    reviewed = await ended(db, 400)
    letter = {"id": new_id(), "tenant_id": "acme", "run_id": reviewed, "raw": b"x", "verdict": "x", "error": "{}"}
    async with db.reading() as connection:
        await connection.execute(insert(tables.dead_letters).values(letter))
    kept |= {parent, child, grandparent_of_one, middle, grandchild, reviewed}
    assert await swept(db, MONTH) == 0
    assert runs_left(database_url) == kept


async def test_children_go_before_their_parents(db, database_url) -> None:
    parent = await ended(db, 50)
    await ended(db, 40, parent_run_id=parent)
    late = await ended(db, 20, parent_run_id=parent)
    assert await swept(db, MONTH) == 1
    assert runs_left(database_url) == {parent, late}
    execute(database_url, "UPDATE runs SET finished_at = finished_at - interval '20 days'")
    assert await swept(db, MONTH) == 2


async def test_details_go_first_and_the_run_with_its_output_and_cost_stays(db, database_url) -> None:
    keep = Keep(runs=90 * DAY, details=7 * DAY)
    [old, young, ancient] = [await ended(db, days, cost_usd="0.5") for days in (8, 6, 91)]
    assert await swept(db, keep) == 2
    assert runs_left(database_url) == {old, young}
    found = await tally(db, old)
    assert (found.run.output, str(found.run.cost_usd), found.run.version) == ('"Done."', "0.50000000", 2)
    assert found.run.stripped_at is not None
    assert (found.steps, found.attempts, found.messages, found.events) == ([], [], [], [])
    assert len((await tally(db, young)).steps) == 2
    assert rows(database_url)["request_keys"] == 2  # a run that is there answers to its key
    assert ancient not in runs_left(database_url)
    assert await swept(db, Keep(runs=8 * DAY, details=7 * DAY)) == 1  # a stripped run goes, too


async def test_failed_runs_may_stay_longer(db, database_url) -> None:
    keep = Keep(runs=30 * DAY, failed_runs=60 * DAY)
    made = {
        (state, days): await ended(db, days, state=state)
        for state in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.EXPIRED)
        for days in (40, 70)
    }
    assert await swept(db, keep) == 5
    assert runs_left(database_url) == {
        run for (state, days), run in made.items() if state != "succeeded" and days == 40
    }


async def test_a_tenant_has_terms_of_its_own(db, database_url) -> None:
    [mine, theirs, patient] = [await ended(db, 10, tenant=name) for name in ("acme", "rival", "patient")]
    await retention.change(db, "acme", {"runs": 7 * DAY})
    await retention.change(db, "patient", {"runs": FOREVER})
    assert await swept(db, Keep()) == 1
    assert runs_left(database_url) == {theirs, patient}
    assert await swept(db, Keep(runs=DAY)) == 1
    assert runs_left(database_url) == {patient}
    await retention.change(db, "patient", {"runs": None})
    assert await retention.keep_of(db, "patient", MONTH) == MONTH
    assert mine not in runs_left(database_url)


async def test_no_tenant_waits_for_another_ones_backlog(db, monkeypatch, database_url) -> None:
    monkeypatch.setattr(prune, "MOST_RUNS", 3)
    for tenant in ("a", "b"):
        for _ in range(7):
            await ended(db, 40, tenant=tenant, steps=1)
    pruner = RunPruner(db, MONTH)
    assert await pruner.run_once() == 3
    assert await pruner.run_once() == 3
    assert {tenant for (tenant,) in execute(database_url, "SELECT tenant_id FROM run_tombstones")} == {"a", "b"}


async def test_a_run_that_somebody_holds_is_left_for_later(db, database_url) -> None:
    held, free = await ended(db, 40), await ended(db, 40)
    async with db.reading() as connection:
        await connection.execute(tables.runs.update().where(tables.runs.c.id == held).values(metadata="{}"))
        assert await RunPruner(db, MONTH).run_once() == 1
    assert runs_left(database_url) == {held}
    assert await swept(db, MONTH) == 1
    assert free not in runs_left(database_url)


async def test_a_run_that_changed_since_it_was_found_stays(db, database_url) -> None:
    run_id = await ended(db, 40)
    found = Due(run_id, "acme", 1, 2, None)
    execute(database_url, "UPDATE runs SET version = 2")
    assert await retention.forget(db, [found]) == await retention.strip(db, [found]) == 0
    assert runs_left(database_url) == {run_id}


def test_a_portion_is_bounded_by_its_steps_but_never_empty() -> None:
    def due(*steps: int) -> list[Due]:
        return [Due(new_id(), "acme", 1, count, None) for count in steps]

    assert [run.steps for run in bounded(due(900, 900, 300, 1))] == [900, 900]
    assert [run.steps for run in bounded(due(5_000, 1))] == [5_000]
    assert bounded([]) == []


async def test_request_keys_batches_and_tombstones_go_when_they_are_old(db, clock, database_url) -> None:
    run_id = await ended(db, 400)
    await swept(db, MONTH)
    await ended(db, 0)
    batches = [{"id": new_id(), "account": "a", "state": state, "requests": 1} for state in ("ended", "lost", "sent")]
    async with db.reading() as connection:
        await connection.execute(insert(tables.batches), batches)
        [item] = (await tally(db, (await ended(db, 0, steps=1)))).steps
        await connection.execute(
            insert(tables.batch_items).values(step_id=item.id, batch_id=batches[0]["id"], state="succeeded")
        )
    prune_once = Pruner(db, days=90, request_keys=3 * DAY).run_once
    assert await prune_once() == 0
    clock.advance(4 * DAY)
    assert await prune_once() == 2  # the keys
    clock.advance(30 * DAY)
    assert await prune_once() == 1  # the lost batch; of one a step is left, and one is still under way
    clock.advance(365 * DAY)
    assert await prune_once() == 1
    assert execute(database_url, "SELECT count(*) FROM run_tombstones WHERE id = %s", run_id) == [(0,)]
