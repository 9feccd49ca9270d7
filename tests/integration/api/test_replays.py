"""Replays in bulk: tried dry first, behind all other work, in bounded batches, and nothing comes back twice."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from agentfleet.api import replays, schemas
from agentfleet.domain import settlement
from agentfleet.domain.errors import ProviderRejected
from agentfleet.domain.retry import RetryPolicy
from agentfleet.engine.replay import BULK_PRIORITY
from agentfleet.store.ids import new_id
from tests import invariants
from tests.factories import execute, make_siblings
from tests.integration.api.answers import pointers, problem
from tests.integration.api.hands import USAGE
from tests.integration.engine.outcomes import failed, held, settle

PATH = "/v1/dead-letters/replays"
SIGNED = '[{"type":"thinking","thinking":"hm","signature":"c2ln"}]'


@pytest.fixture(autouse=True)
def _invariants_hold(database_url: str):
    yield
    invariants.check(database_url)


@pytest.fixture
def die(submit, hands) -> Callable[..., Awaitable[str]]:
    """Submit a run whose tool call dies after one model call; its id."""

    async def run_and_die(message: str = "no", **more: Any) -> str:
        run = await submit(**more)
        await hands.call_tool(run["id"])
        claimed = await hands.claim(run["id"])
        await hands.settle(settlement.failed(claimed, ProviderRejected(message), RetryPolicy(), jitter=0.5))
        return run["id"]

    return run_and_die


async def plan(client, **body: Any) -> schemas.ReplayPlan:
    response = await client.post(PATH, json=body)
    assert response.status_code == 200, response.text
    return schemas.ReplayPlan.model_validate(response.json())


async def go(client, **body: Any) -> schemas.ReplayProgress:
    response = await client.post(PATH, json={**body, "dry_run": False})
    assert response.status_code == 200, response.text
    return schemas.ReplayProgress.model_validate(response.json())


async def open_letters(client) -> list[dict[str, Any]]:
    return (await client.get("/v1/dead-letters?status=open")).json()["data"]


async def test_a_dry_run_counts_and_estimates_and_changes_nothing(client, die, database_url) -> None:
    for n in range(3):
        await die(f"order {n} is closed")
    await die("another thing")
    fingerprint = (await open_letters(client))[-1]["fingerprint"]
    found = await plan(client, filter={"fingerprint": fingerprint})
    assert (found.count, found.runs, found.unfit) == (3, 3, 0)
    assert Decimal(found.estimated_cost_usd) == 3 * USAGE.cost_usd, "one model call each, at what theirs have cost"
    assert found.estimated_seconds in {45.0, 60.0, 90.0}, "the busiest minute settled two to four steps"
    assert len(await open_letters(client)) == 4
    assert execute(database_url, "SELECT count(*) FROM audit") == [(0,)]


async def test_what_nobody_knows_is_not_estimated(client, submit, hands) -> None:
    run = await submit()
    await hands.bury(run["id"])
    found = await plan(client)
    assert (found.count, found.estimated_cost_usd, found.estimated_seconds) == (1, None, None)


async def test_a_dry_run_that_finds_nothing_gives_no_token(client) -> None:
    found = await plan(client, filter={"agent": "support"})
    assert (found.count, found.runs, found.token) == (0, 0, None)


async def test_all_that_a_filter_means_come_back_behind_all_other_work(client, die, database_url, monkeypatch) -> None:
    monkeypatch.setattr(replays, "BULK", 2)
    runs = {await die(f"order {n} is closed", priority=50) for n in range(5)}
    spared = await die("another thing")
    fingerprint = (await open_letters(client))[-1]["fingerprint"]
    terms = {"filter": {"fingerprint": fingerprint}}
    token = (await plan(client, **terms)).token
    late = await die("order 99 is closed")
    steps = [await go(client, **terms, token=token) for _ in range(4)]
    assert [(len(one.replayed), one.remaining) for one in steps] == [(2, 3), (2, 1), (1, 0), (0, 0)]
    assert {letter["run_id"] for letter in await open_letters(client)} == {spared, late}, (
        "what died since is left alone"
    )
    query = "SELECT s.run_id::text, s.state, s.priority FROM steps s JOIN dead_letters d ON d.step_id = s.id AND d.state = 'replayed'"
    assert execute(database_url, query) == [(run, "ready", BULK_PRIORITY) for run, *_ in execute(database_url, query)]
    assert {run for run, *_ in execute(database_url, query)} == runs
    kept = [
        json.loads(text)
        for (text,) in execute(database_url, "SELECT resolution FROM dead_letters WHERE state = 'replayed'")
    ]
    assert all(one["action"] == "replay" and one["filter"] == terms["filter"] for one in kept)
    audited = execute(database_url, "SELECT action, count(*) FROM audit GROUP BY 1 ORDER BY 1")
    assert audited == [("dead_letter.replay", 5), ("dead_letter.replay_in_bulk", 3)]
    [(told,)] = execute(database_url, "SELECT DISTINCT object FROM audit WHERE action = 'dead_letter.replay_in_bulk'")
    assert json.loads(told) == {**terms, "edit": {}}


async def test_two_replays_in_bulk_at_once_bring_nothing_back_twice(client, die, database_url, monkeypatch) -> None:
    monkeypatch.setattr(replays, "BULK", 3)
    for n in range(10):
        await die(f"order {n} is closed")
    token = (await plan(client)).token

    async def to_the_end() -> list[str]:
        done: list[str] = []
        while (step := await go(client, token=token)).remaining:
            done += step.replayed
        return done + step.replayed

    both = await asyncio.gather(to_the_end(), to_the_end(), to_the_end())
    done = [one for some in both for one in some]
    assert len(done) == len(set(done)) == 10
    events = "SELECT run_id FROM run_events WHERE type = 'step.replayed' GROUP BY run_id HAVING count(*) > 1"
    assert execute(database_url, events) == []
    assert execute(database_url, "SELECT count(*) FROM audit WHERE action = 'dead_letter.replay'") == [(10,)]


async def test_replays_in_bulk_and_cancels_at_once_lose_nothing(client, die, database_url) -> None:
    runs = [await die() for _ in range(8)]
    token = (await plan(client)).token
    await asyncio.gather(go(client, token=token), *(client.post(f"/v1/runs/{run}/cancel") for run in runs[::2]))
    found = dict(execute(database_url, "SELECT id::text, state FROM runs"))
    assert [found[run] for run in runs] == ["cancelled", "running"] * 4


async def test_both_letters_of_one_run_come_back(client, db, key) -> None:
    dead = await make_siblings(db, 2)
    await settle(db, *(failed(held(one, part), ProviderRejected("no")) for part, one in enumerate(dead)))
    found = await plan(client)
    assert (found.count, found.runs) == (2, 1)
    done = await go(client, token=found.token)
    assert (len(done.replayed), done.remaining) == (2, 0)
    assert (await client.get(f"/v1/runs/{dead[0].run_id}")).json()["status"] == "running"


async def test_every_part_of_a_filter_counts(client, die, submit, hands) -> None:
    await die()
    other = await submit(agent="orders", input={"number": 1})
    await hands.bury(other["id"])
    newer, older = await open_letters(client)
    moment = datetime.fromisoformat(newer["created_at"]).isoformat()
    for terms in (
        {"agent": "orders"},
        {"name": "claude-haiku-4-5"},
        {"created_after": moment},
        {"ids": [newer["id"].upper()]},
    ):
        assert (await plan(client, filter=terms)).count == 1, terms
    for terms in ({"verdict": "permanent"}, {"ids": [newer["id"], older["id"], new_id()]}, {"agent": None}):
        assert (await plan(client, filter=terms)).count == 2, terms
    assert (await plan(client, filter={"created_before": moment, "created_after": moment})).count == 0


async def test_all_come_back_with_another_model_each_under_its_own_instructions(
    client, die, submit, hands, ingress
) -> None:
    runs = [await die(), (await submit(agent="orders", input={"number": 1}))["id"]]
    await hands.bury(runs[1])
    terms = {"edit": {"model": "claude-opus-5-5"}}
    done = await go(client, **terms, token=(await plan(client, **terms)).token)
    assert len(done.replayed) == 2
    found = [(await client.get(f"/v1/runs/{run}")).json() for run in runs]
    assert [one["model"] for one in found] == ["claude-opus-5-5"] * 2
    specs = [(await ingress.bundles.load(one["bundle_id"])).spec for one in found]
    assert [spec["instructions"] for spec in specs] == ["Help.", ""]


async def test_instructions_change_only_where_the_model_has_signed_nothing(client, die, database_url) -> None:
    signed, free = await die(), await die()
    execute(database_url, "UPDATE messages SET content = %s WHERE run_id = %s AND role = 'assistant'", SIGNED, signed)
    terms = {"filter": {"agent": "support"}, "edit": {"instructions": "Help more."}}
    found = await plan(client, **terms)
    assert (found.count, found.unfit) == (1, 1)
    done = await go(client, **terms, token=found.token)
    assert (len(done.replayed), done.remaining) == (1, 0)
    assert [letter["run_id"] for letter in await open_letters(client)] == [signed]
    assert (await client.get(f"/v1/runs/{free}")).json()["status"] == "running"


async def test_nothing_is_done_without_the_token_of_a_dry_run_of_the_same(client, connect, other_key, die) -> None:
    await die()
    token = (await plan(client, filter={"agent": "support"})).token
    other = connect(other_key)
    for who, body in (
        (client, {"filter": {"agent": "support"}}),
        (client, {"filter": {"agent": "support"}, "token": "x"}),
        (client, {"filter": {"agent": "support"}, "token": "é" * 400}),
        (client, {"token": token}),
        (client, {"filter": {"agent": "support"}, "edit": {"model": "m"}, "token": token}),
        (other, {"filter": {"agent": "support"}, "token": token}),
    ):
        response = await who.post(PATH, json={**body, "dry_run": False})
        assert problem(response, 422) == "invalid_request"
        assert pointers(response) == {"/token"}
    assert len(await open_letters(client)) == 1


async def test_a_filter_reaches_nothing_of_another_tenant(client, connect, other_key, die) -> None:
    await die()
    [letter] = await open_letters(client)
    other = connect(other_key)
    for terms in ({}, {"ids": [letter["id"]]}, {"fingerprint": letter["fingerprint"]}, {"agent": "support"}):
        found = await plan(other, filter=terms)
        assert (found.count, found.runs, found.token, found.estimated_cost_usd) == (0, 0, None, None)
    theirs = (await other.post("/v1/runs", json={"agent": "support", "input": "x"})).json()["id"]
    assert theirs
    assert len(await open_letters(client)) == 1


FAULTY: list[tuple[dict[str, Any], set[str]]] = [
    ({"filter": {"more": 1}, "more": 1}, {"/filter/more", "/more"}),
    ({"filter": []}, {"/filter"}),
    ({"filter": {"ids": []}}, {"/filter/ids"}),
    ({"filter": {"ids": [new_id(), "x", 7]}}, {"/filter/ids/1", "/filter/ids/2"}),
    ({"filter": {"fingerprint": "f_1"}}, {"/filter/fingerprint"}),
    ({"filter": {"verdict": "sad"}}, {"/filter/verdict"}),
    ({"filter": {"agent": "A B"}}, {"/filter/agent"}),
    ({"filter": {"name": ""}}, {"/filter/name"}),
    ({"filter": {"created_after": "soon"}}, {"/filter/created_after"}),
    ({"filter": {"created_before": "2026-11-21T10:00:00"}}, {"/filter/created_before"}),
    ({"dry_run": "no"}, {"/dry_run"}),
    ({"token": 7}, {"/token"}),
    ({"edit": {"input": "x"}}, {"/edit/input"}),
    ({"edit": {"instructions": "x"}}, {""}),
]


async def test_what_is_wrong_with_a_replay_in_bulk_is_named(client) -> None:
    for body, places in FAULTY:
        response = await client.post(PATH, json=body)
        assert problem(response, 422) == "invalid_request", body
        assert pointers(response) == places


async def test_what_comes_back_by_hand_has_its_runs_priority_again(client, die, database_url, hands) -> None:
    run = await die(priority=7)
    token = (await plan(client)).token
    await go(client, token=token)
    claimed = await hands.claim(run)
    await hands.settle(settlement.failed(claimed, ProviderRejected("no"), RetryPolicy(), jitter=0.5))
    [letter] = await open_letters(client)
    await client.post(f"/v1/dead-letters/{letter['id']}/replay")
    assert execute(database_url, "SELECT priority FROM steps WHERE state = 'ready'") == [(7,)]
