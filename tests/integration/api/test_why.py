"""A run that waits says why, since when, in which place, and until when."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from sqlalchemy import update

from agentfleet.api import schemas, why
from agentfleet.api.recent import Recent
from agentfleet.api.why import Explainer
from agentfleet.domain import settlement
from agentfleet.domain.admission import Need
from agentfleet.domain.errors import ProviderBusy, ProviderOverloaded, ToolRetry
from agentfleet.domain.retry import RetryPolicy
from agentfleet.store import waiting as store
from agentfleet.store.tables import steps


async def get(client, run) -> dict | None:
    """What the run says, which must be what the schema says."""
    response = await client.get(f"/v1/runs/{run['id']}")
    return schemas.Run.model_validate(response.json()).model_dump()["waiting"]


async def listed(client, run) -> dict | None:
    page = schemas.RunPage.model_validate((await client.get("/v1/runs")).json())
    return next(one for one in page.data if one.id == run["id"]).model_dump()["waiting"]


@pytest.fixture
async def failed(hands) -> AsyncIterator:
    """Let the run's open step fail."""

    async def fail(run, error):
        claimed = await hands.claim(run["id"])
        await hands.settle(settlement.failed(claimed, error, RetryPolicy(), jitter=0.5))

    return fail


async def queued(db, run) -> None:
    """As if the pool had had no room when it came."""
    async with db.reading() as connection:
        await connection.execute(
            update(steps).where(steps.c.run_id == run["id"]).values(state="ready", dispatched_at=None)
        )


async def test_a_new_run_is_on_its_way_to_a_worker(client, submit) -> None:
    first, second = await submit(), await submit()
    assert (await get(client, first))["blocked_on"] == "worker"
    assert [(await get(client, run))["position"] for run in (first, second)] == [1, 2]


async def test_a_run_in_the_queue_tells_its_place_and_lists_tell_why_in_short(client, submit, db) -> None:
    runs = [await submit() for _ in range(3)]
    for run in runs:
        await queued(db, run)
    assert [(await get(client, run))["position"] for run in runs] == [1, 2, 3]
    found = await listed(client, runs[2])
    assert (found["blocked_on"], found["position"], found["expected_start"]) == ("queue", None, None)
    assert found["detail"] == "Step 0 waits for its turn in the queue of pool default."


async def test_a_run_of_which_something_runs_does_not_wait(client, submit, hands) -> None:
    run = await submit()
    await hands.claim(run["id"])
    assert await get(client, run) is None
    assert await listed(client, run) is None


async def test_a_run_that_has_ended_does_not_wait(client, submit, hands) -> None:
    run = await submit()
    await hands.finish(run["id"])
    assert await get(client, run) is None


async def test_a_run_that_waits_for_room_names_the_bucket_and_when(client, submit, failed) -> None:
    runs = [await submit(), await submit()]
    for run in runs:
        busy = ProviderBusy("no room", retry_after=30)
        busy.need = Need("main/claude-sonnet-5-5", 1_000, 100)
        await failed(run, busy)
    found = [await get(client, run) for run in runs]
    assert [one["position"] for one in found] == [1, 2]
    assert "main/claude-sonnet-5-5" in found[0]["detail"]
    assert 25 < (found[0]["expected_start"] - found[0]["since"]).total_seconds() < 35


async def test_a_failure_that_is_tried_again_says_what_failed(client, submit, failed) -> None:
    run = await submit()
    await failed(run, ToolRetry("the shop is closed", after=60))
    found = await get(client, run)
    assert (found["blocked_on"], found["position"]) == ("timer", None)
    assert found["detail"].endswith("again after 1 failed attempt: the shop is closed")


async def test_an_overloaded_provider_is_named(client, submit, failed) -> None:
    run = await submit()
    await failed(run, ProviderOverloaded("overloaded, says the provider"))
    assert (await get(client, run))["detail"] == "Step 0 waits for the provider: overloaded, says the provider"


async def test_a_run_that_needs_review_says_so(client, submit, hands) -> None:
    run = await submit()
    await hands.bury(run["id"])
    found = await get(client, run)
    assert (found["blocked_on"], found["expected_start"], found["expected_finish"]) == ("review", None, None)
    assert "dead letter: no such model" in found["detail"]


async def test_the_finish_is_expected_from_what_the_agents_runs_took(client, submit, hands, clock) -> None:
    for _ in range(3):
        run = await submit()
        claimed = await hands.claim(run["id"])
        clock.advance(20)
        await hands.settle(hands.answer(claimed))
    waits = await submit()
    found = await get(client, waits)
    took = (found["expected_finish"]["p90"] - found["expected_start"]).total_seconds()
    assert 20 <= took < 60


async def test_waiting_changes_without_the_version_and_the_etag_says_so(client, submit, db) -> None:
    run = await submit()
    first = await client.get(run["urls"]["self"])
    await queued(db, run)
    second = await client.get(run["urls"]["self"])
    assert first.json()["waiting"]["blocked_on"] != second.json()["waiting"]["blocked_on"]
    assert first.headers["etag"] == second.headers["etag"] == 'W/"1"'
    known = await client.get(run["urls"]["self"], headers={"If-None-Match": first.headers["etag"]})
    assert known.status_code == 304


async def test_the_etag_of_a_run_that_has_ended_is_strong(client, submit, hands) -> None:
    run = await submit()
    await hands.finish(run["id"])
    assert not (await client.get(run["urls"]["self"])).headers["etag"].startswith("W/")


async def test_another_tenants_runs_count_and_are_not_told(connect, client, submit, other_key, db) -> None:
    theirs = (await connect(other_key).post("/v1/runs", json={"agent": "support", "input": "Hi"})).json()
    mine = await submit()
    assert (await get(client, mine))["position"] == 2
    assert (await client.get(f"/v1/runs/{theirs['id']}")).status_code == 404


async def test_history_is_asked_for_once_in_a_while(app_db, submit, client, monkeypatch) -> None:
    asked = []
    durations = store.durations

    async def count(db, tenant_id):
        asked.append(tenant_id)
        return await durations(db, tenant_id)

    monkeypatch.setattr(store, "durations", count)
    run = await submit()
    for _ in range(5):
        await get(client, run)
    assert asked == ["acme"]


async def test_a_place_that_takes_long_to_count_is_left_out(submit, client, monkeypatch) -> None:
    counted = asyncio.Event()

    async def count(*_: object) -> int:
        await counted.wait()
        return 1

    monkeypatch.setattr(store, "position", count)
    monkeypatch.setattr(why, "PATIENCE", 0.05)
    found = await get(client, await submit())
    assert (found["blocked_on"], found["position"]) == ("worker", None)


async def test_an_answer_that_failed_is_not_kept() -> None:
    answers = iter([RuntimeError("away"), 7])

    async def ask(key: str) -> int:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    recent = Recent[str, int](ask)
    with pytest.raises(RuntimeError):
        await recent("x")
    assert await recent("x") == 7
    assert await recent("x") == 7


async def test_since_is_a_time_in_the_past(client, submit) -> None:
    found = (await client.get((await submit())["urls"]["self"])).json()["waiting"]
    assert datetime.fromisoformat(found["since"]).tzinfo is not None


def test_an_explainer_needs_nothing_until_somebody_asks(app_db) -> None:
    Explainer(app_db)
