"""Dead letters by kind: what one has to deal with first, since when, and what it has cost."""

import json
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from agentfleet.api import schemas
from agentfleet.domain import settlement
from agentfleet.domain.errors import EffectUnknown, ProviderRejected
from agentfleet.domain.retry import RetryPolicy
from agentfleet.store import clusters as store
from agentfleet.store.clusters import Filter
from tests.factories import execute
from tests.integration.api.answers import problem
from tests.integration.api.hands import USAGE


@pytest.fixture
def die(submit, hands):
    """Submit a run whose one model call has succeeded and whose tool call dies; its id."""

    async def run_and_die(error: Exception, **more) -> str:
        run = await submit(**more)
        await hands.call_tool(run["id"])
        claimed = await hands.claim(run["id"])
        await hands.settle(settlement.failed(claimed, error, RetryPolicy(), jitter=0.5))
        return run["id"]

    return run_and_die


async def clusters(client, **query) -> list[schemas.DeadLetterPage]:
    response = await client.get("/v1/dead-letters/clusters", params=query)
    assert response.status_code == 200, response.text
    return schemas.Clusters.model_validate(response.json()).data


async def test_failures_of_one_kind_are_one_cluster(client, die) -> None:
    runs = [await die(ProviderRejected(f"order {n} is closed for 'customer {n}'", status=400)) for n in range(7)]
    await die(ProviderRejected("no such place", status=400))
    await die(EffectUnknown("look was cut off"))
    first, *others = await clusters(client)
    assert (first.verdict, first.agent, first.kind, first.name) == ("permanent", "support", "tool", "look")
    assert (first.count, first.runs, [one.count for one in others]) == (7, 7, [1, 1])
    letters = (await client.get("/v1/dead-letters", params={"fingerprint": first.fingerprint})).json()["data"]
    assert {letter["run_id"] for letter in letters} == set(runs)
    assert first.newest == [letter["id"] for letter in letters][:5]
    assert first.error == letters[0]["error"]
    seen = [datetime.fromisoformat(letter["created_at"]) for letter in letters]
    assert (first.first_seen, first.last_seen) == (min(seen), max(seen))
    tokens = USAGE.input_tokens + USAGE.output_tokens + USAGE.cache_read_tokens + USAGE.cache_write_tokens
    assert (Decimal(first.cost_usd), first.tokens) == (7 * USAGE.cost_usd, 7 * tokens)


async def test_a_runs_money_is_counted_once_however_many_of_its_steps_died_alike(client, die, database_url) -> None:
    run = await die(ProviderRejected("no"))
    execute(  # a second letter of the same step's kind, as a run with two dead siblings has it
        database_url,
        "INSERT INTO steps (id, run_id, tenant_id, pool, agent, seq, kind, name, turn, input, state)"
        " SELECT gen_random_uuid(), run_id, tenant_id, pool, agent, seq + 1, kind, name, turn, input, 'dead' FROM steps"
        " WHERE run_id = %s AND state = 'dead'",
        run,
    )
    execute(
        database_url,
        "INSERT INTO dead_letters (id, tenant_id, run_id, step_id, verdict, error, fingerprint)"
        " SELECT gen_random_uuid(), d.tenant_id, d.run_id, s.id, d.verdict, d.error, d.fingerprint"
        " FROM dead_letters d JOIN steps s ON s.run_id = d.run_id AND s.id <> d.step_id AND s.state = 'dead'",
    )
    [found] = await clusters(client)
    assert (found.count, found.runs, Decimal(found.cost_usd)) == (2, 1, USAGE.cost_usd)


async def test_letters_of_code_that_knew_no_fingerprints_get_theirs_when_somebody_looks(
    client, die, database_url, db
) -> None:
    await die(ProviderRejected("order 1 is closed"))
    await die(ProviderRejected("order 2 is closed"))
    [[named]] = {tuple(row) for row in execute(database_url, "SELECT fingerprint FROM dead_letters")}
    execute(database_url, "UPDATE dead_letters SET fingerprint = NULL")
    assert (await client.get("/v1/dead-letters")).json()["data"][0]["fingerprint"] is None
    [found] = await clusters(client)
    assert (found.fingerprint, found.count) == (named, 2)
    execute(database_url, "UPDATE dead_letters SET fingerprint = NULL")
    body = {"filter": {"fingerprint": named}}
    assert (await client.post("/v1/dead-letters/replays", json=body)).json()["count"] == 2


async def test_lists_and_clusters_take_the_same_filters(client, die, submit, hands) -> None:
    await die(ProviderRejected("no"))
    other = await submit(agent="orders", input={"number": 1})
    await hands.bury(other["id"])
    [newer, older] = (await client.get("/v1/dead-letters")).json()["data"]
    second = datetime.fromisoformat(newer["created_at"])
    for query in (
        {"agent": "orders"},
        {"name": "claude-haiku-4-5"},
        {"fingerprint": newer["fingerprint"]},
        {"created_after": second.isoformat()},
        {"created_after": second.isoformat(), "created_before": (second + timedelta(days=1)).isoformat()},
    ):
        assert [one["id"] for one in (await client.get("/v1/dead-letters", params=query)).json()["data"]] == [
            newer["id"]
        ]
        assert [one.newest for one in await clusters(client, **query)] == [[newer["id"]]]
    before = {"created_before": second.isoformat(), "verdict": "permanent"}
    assert [one["id"] for one in (await client.get("/v1/dead-letters", params=before)).json()["data"]] == [older["id"]]
    for query in (
        {"fingerprint": "x"}, {"verdict": "sad"}, {"agent": "A"}, {"name": ""}, {"name": "\0"},
        {"created_before": "2026-11-21T10:00:00"}, {"created_before": "soon"},
    ):  # fmt: skip
        for path in ("/v1/dead-letters", "/v1/dead-letters/clusters"):
            assert problem(await client.get(path, params=query), 422) == "invalid_request", query


async def test_what_was_dealt_with_is_in_no_cluster(client, die) -> None:
    run = await die(ProviderRejected("no"))
    [letter] = (await client.get("/v1/dead-letters")).json()["data"]
    assert letter["run_id"] == run
    await client.post(f"/v1/dead-letters/{letter['id']}/replay")
    assert await clusters(client) == []


async def test_who_runs_the_fleet_sees_the_kinds_of_every_tenant(client, connect, other_key, die, hands, db) -> None:
    await die(ProviderRejected("no"))
    theirs = (await connect(other_key).post("/v1/runs", json={"agent": "support", "input": "x"})).json()
    await hands.call_tool(theirs["id"])
    claimed = await hands.claim(theirs["id"])
    await hands.settle(settlement.failed(claimed, ProviderRejected("no"), RetryPolicy(), jitter=0.5))
    [found] = await store.clusters(db, None, Filter(state="open"), limit=10)
    assert (found.count, found.runs, found.tenants) == (2, 2, 2)
    [own] = await clusters(client)
    assert own.count == 1


async def test_a_dead_letters_own_page_has_all_that_is_known(client, die) -> None:
    run = await die(ProviderRejected("order 7 is closed", status=400, request_id="req_7"))
    [letter] = (await client.get("/v1/dead-letters")).json()["data"]
    response = await client.get(f"/v1/dead-letters/{letter['id']}")
    found = schemas.DeadLetterDetail.model_validate(response.json())
    assert found.request_id == "req_7"
    assert [(one.outcome, one.request_id) for one in found.attempts] == [("bury", "req_7")]
    assert (found.run.status, found.run.steps, Decimal(found.run.cost_usd)) == ("needs_review", 2, USAGE.cost_usd)
    assert [(one.turn, one.role) for one in found.messages] == [(0, "user"), (1, "assistant")]
    told = (await client.get(f"/v1/runs/{run}/messages")).text
    for one in json.loads(told)["data"]:
        assert one in response.json()["messages"]


async def test_the_end_of_a_long_conversation_is_shown_byte_for_byte(client, die, database_url) -> None:
    run = await die(ProviderRejected("no"))
    odd = '[{"type": "text",  "text": "\\u00e9\\/", "z": 1.50, "a": 2}]'
    for turn in range(2, 12):
        execute(
            database_url,
            "INSERT INTO messages (run_id, turn, part, role, content) VALUES (%s, %s, 0, 'user', %s)", run, turn, odd,
        )  # fmt: skip
    [letter] = (await client.get("/v1/dead-letters")).json()["data"]
    response = await client.get(f"/v1/dead-letters/{letter['id']}")
    assert [one["turn"] for one in response.json()["messages"]] == [*range(6, 12)]
    assert response.text.count(odd) == 6
