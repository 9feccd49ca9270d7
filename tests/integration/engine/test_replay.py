"""Dead letters: a replay resumes the run at the step that died, with fresh attempts; a discard fails the run."""

import asyncio
import json

import pytest

from agentfleet.domain.errors import ProviderRejected
from agentfleet.domain.states import RunState
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.replay import BULK_PRIORITY, Undertaker, replay_of
from agentfleet.store import dead_letters, runs, settlements, steps
from tests.factories import POOL, TENANT, claim, execute, make_siblings, make_tool, step_row, submit, tally
from tests.integration.engine.locks import Uncommitted, as_database, overtaken
from tests.integration.engine.outcomes import failed, held, hold_again, returned, settle

pytestmark = pytest.mark.usefixtures("invariants_hold")

NO = ProviderRejected("no")


@pytest.fixture
def undertaker(app_db, bells) -> Undertaker:
    return Undertaker(app_db, bells, Canceller(app_db, bells))


async def letters(db, run_id) -> dict[str, str]:
    """Open dead letters, by step."""
    found = (await tally(db, run_id)).dead_letters
    return {str(one.step_id): str(one.id) for one in found if one.state == "open"}


async def test_a_replay_resumes_at_the_dead_step_with_fresh_attempts(db, bells, undertaker):
    dead, done = await make_siblings(db, 2, attempt=5, crashes=2, snoozes=3)
    await settle(db, failed(held(dead), NO), returned(held(done, 1)))
    [letter] = (await letters(db, dead.run_id)).values()
    assert await undertaker.replay(TENANT, [letter]) == [letter]

    row = await step_row(db, dead.step_id)
    assert (row.state, row.attempt, row.crashes, row.snoozes, row.error) == ("ready", 0, 0, 0, None)
    assert row.fence == dead.fence, "the fence never falls: the worker that failed may still be there"
    run = (await tally(db, dead.run_id)).run
    assert (run.state, run.error) == ("running", None)
    assert (await tally(db, dead.run_id)).states == ["ready", "succeeded"]
    assert bells.woken


async def test_the_run_goes_on_to_its_next_turn_after_the_replay(db, undertaker, database_url):
    dead, done = await make_siblings(db, 2)
    await settle(db, failed(held(dead), NO), returned(held(done, 1)))
    await undertaker.replay(TENANT, list((await letters(db, dead.run_id)).values()))
    execute(database_url, "UPDATE steps SET state = 'dispatched', dispatched_at = now() WHERE state = 'ready'")
    await settle(db, returned(await claim(db, dead.step_id)))
    assert (await tally(db, dead.run_id)).states == ["succeeded", "succeeded", "dispatched"]


async def test_a_replay_is_done_once_however_often_it_is_asked_for(db, undertaker):
    made = await make_tool(db)
    await settle(db, failed(held(made), NO))
    [letter] = (await letters(db, made.run_id)).values()
    done = await asyncio.gather(*(undertaker.replay(TENANT, [letter]) for _ in range(5)))
    assert sorted(map(len, done)) == [0, 0, 0, 0, 1]
    assert [e.type for e in (await tally(db, made.run_id)).events].count("step.replayed") == 1


async def test_a_run_stays_in_review_until_its_last_dead_letter_is_replayed(db, undertaker):
    first, second = await make_siblings(db, 2)
    await settle(db, failed(held(first), NO), failed(held(second, 1), NO))
    open_letters = await letters(db, first.run_id)
    await undertaker.replay(TENANT, [open_letters[first.step_id]])
    assert (await tally(db, first.run_id)).run.state == "needs_review"
    await undertaker.replay(TENANT, [open_letters[second.step_id]])
    assert (await tally(db, first.run_id)).run.state == "running"


async def test_a_replay_that_waited_for_a_burial_keeps_the_run_in_review(db, undertaker, database_url):
    dead, dying = await make_siblings(db, 2)
    await settle(db, failed(held(dead), NO))
    [letter] = (await letters(db, dead.run_id)).values()
    async with Uncommitted(database_url) as worker:
        await settlements.settle(as_database(worker), [(failed(held(dying, 1), NO), "w:1")], window=10)
        assert await overtaken(database_url, worker, undertaker.replay(TENANT, [letter])) == [letter]
    assert (await tally(db, dead.run_id)).run.state == "needs_review"
    assert len(await undertaker.replay(TENANT, list((await letters(db, dead.run_id)).values()))) == 1


async def test_two_replays_of_one_run_at_once_take_it_out_of_review(db, undertaker, database_url):
    dead = await make_siblings(db, 2)
    await settle(db, *(failed(held(one, part), NO) for part, one in enumerate(dead)))
    first, second = (await letters(db, dead[0].run_id)).values()
    async with Uncommitted(database_url) as other:
        await dead_letters.replay(as_database(other), TENANT, [replay_of(first, by=None)], actor=None)
        await overtaken(database_url, other, undertaker.replay(TENANT, [second]))
    assert (await tally(db, dead[0].run_id)).run.state == "running"


async def test_the_worker_of_the_dead_attempt_cannot_settle_the_replayed_step(db, undertaker):
    made = await make_tool(db)
    await settle(db, failed(held(made), NO))
    await undertaker.replay(TENANT, list((await letters(db, made.run_id)).values()))
    assert await settle(db, returned(held(made))) == [False]


async def test_a_discard_fails_the_run(db, undertaker):
    made = await make_tool(db)
    await settle(db, failed(held(made), NO))
    [letter] = (await letters(db, made.run_id)).values()
    assert await undertaker.discard(TENANT, letter)
    found = await tally(db, made.run_id)
    assert (found.run.state, found.states) == ("failed", ["cancelled"])
    assert [one.state for one in found.dead_letters] == ["discarded"]
    assert await undertaker.replay(TENANT, [letter]) == []
    assert not await undertaker.discard(TENANT, letter)


async def test_another_tenant_can_neither_replay_nor_discard(db, undertaker):
    made = await make_tool(db)
    await settle(db, failed(held(made), NO))
    [letter] = (await letters(db, made.run_id)).values()
    assert await undertaker.replay("rival", [letter]) == []
    assert not await undertaker.discard("rival", letter)
    assert (await hold_again(db, made.step_id)).fence == made.fence
    assert (await tally(db, made.run_id)).run.state == "needs_review"


async def test_a_replay_that_waited_for_a_cancel_changes_nothing(db, undertaker, database_url):
    made = await make_tool(db)
    await settle(db, failed(held(made), NO))
    [letter] = (await letters(db, made.run_id)).values()
    async with Uncommitted(database_url) as other:
        await runs.end(as_database(other), [made.run_id], RunState.CANCELLED, error='{"class":"cancelled"}')
        assert await overtaken(database_url, other, undertaker.replay(TENANT, [letter])) == []
    found = await tally(db, made.run_id)
    assert (found.run.state, found.states) == ("cancelled", ["cancelled"])


async def test_of_two_replays_at_once_the_second_edits_nothing(db, undertaker, database_url):
    made = await make_tool(db)
    await settle(db, failed(held(made), NO))
    [letter] = (await letters(db, made.run_id)).values()
    given = '{"call_id":"c","arguments":{},"given":{"content":"x","is_error":false}}'
    async with Uncommitted(database_url) as other:
        await dead_letters.replay(as_database(other), TENANT, [replay_of(letter, by=None)], actor=None)
        skip = undertaker.bring_back(TENANT, [replay_of(letter, by="k", skip=True, input=given)], by="k")
        assert await overtaken(database_url, other, skip) == []
    assert "given" not in (await step_row(db, made.step_id)).input
    assert execute(database_url, "SELECT count(*) FROM audit") == [(0,)]
    assert "step.skipped" not in [event.type for event in (await tally(db, made.run_id)).events]


async def test_what_comes_back_in_bulk_goes_behind_fresh_work(db, bells, undertaker):
    dead = [await make_tool(db) for _ in range(3)]
    for one in dead:
        await settle(db, failed(held(one), NO))
    back = [replay_of(one, by=None) for made in dead for one in (await letters(db, made.run_id)).values()]
    assert len(await undertaker.bring_back(TENANT, back, by=None, priority=BULK_PRIORITY)) == 3
    fresh = [await submit(db, window=0, priority=-100) for _ in range(2)]
    rung = await steps.dispatch(db, POOL, window=3)
    assert [one.run_id for one in rung if one.run_id in {run.run_id for run in fresh}] == [run.run_id for run in fresh]
    assert len(rung) == 3
    await steps.dispatch(db, POOL, window=10)


async def test_a_resolution_says_who_did_what(db, undertaker):
    first, second = await make_tool(db), await make_tool(db)
    for one in (first, second):
        await settle(db, failed(held(one), NO))
    [replayed], [discarded] = [list((await letters(db, one.run_id)).values()) for one in (first, second)]
    await undertaker.replay(TENANT, [replayed], by="key-1")
    await undertaker.discard(TENANT, discarded, by="key-2")
    kept = [json.loads((await tally(db, one.run_id)).dead_letters[0].resolution) for one in (first, second)]
    assert kept == [{"action": "replay", "by": "key-1"}, {"action": "discard", "by": "key-2"}]
    event = (await tally(db, first.run_id)).events[-1]
    assert (event.type, json.loads(event.data)) == (
        "step.replayed", {"step_id": first.step_id, "action": "replay", "by": "key-1"},
    )  # fmt: skip


async def test_what_was_replayed_is_not_dealt_with_again_while_its_run_is_still_in_review(db, undertaker, database_url):
    first, second = await make_siblings(db, 2)
    await settle(db, failed(held(first), NO), failed(held(second, 1), NO))
    letter = (await letters(db, first.run_id))[first.step_id]
    assert await undertaker.replay(TENANT, [letter], by="key-1") == [letter]
    before = await tally(db, first.run_id)
    assert before.run.state == "needs_review"
    assert await undertaker.bring_back(TENANT, [replay_of(letter, by="key-2", skip=True)], by="key-2") == []
    assert await tally(db, first.run_id) == before
    assert execute(database_url, "SELECT actor FROM audit") == [("key-1",)]
