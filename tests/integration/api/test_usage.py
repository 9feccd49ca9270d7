"""GET /v1/usage: the tenant's own, as it is described."""

import pytest

from agentfleet.api import schemas
from agentfleet.store import usage as store
from tests.integration.api.answers import problem


async def get(client, **params):
    response = await client.get("/v1/usage", params=params)
    assert response.status_code == 200, response.text
    return schemas.UsageReport.model_validate(response.json()).model_dump(mode="json")


async def test_nothing_was_used_yet(client) -> None:
    found = await get(client)
    assert (found["data"], found["by"], found["total"]["cost_usd"], found["total"]["wasted"]) == ([], "agent", "0", [])


async def test_what_the_runs_used_is_told(client, submit, hands) -> None:
    run = await submit()
    await hands.finish(run["id"])
    found = await get(client)
    [line] = found["data"]
    assert (line["key"], line["calls"], line["input_tokens"], line["cost_usd"]) == ("support", 1, 120, "0.0125")
    assert found["total"] == {**line, "key": "total"}


@pytest.mark.parametrize("by", ["agent", "bundle", "model", "day"])
async def test_it_is_added_up_by_what_is_asked_for(client, submit, hands, by) -> None:
    await hands.finish((await submit())["id"])
    found = await get(client, by=by, since="36h")
    assert (found["by"], len(found["data"])) == (by, 1)


async def test_another_tenant_sees_nothing_of_it(connect, other_key, submit, hands) -> None:
    await hands.finish((await submit())["id"])
    assert (await get(connect(other_key)))["data"] == []


@pytest.mark.parametrize(
    "params",
    [{"since": "yesterday"}, {"since": "93d"}, {"since": "1s"}, {"since": "1" * 50}, {"by": "tenant"}, {"by": "x"}],
)
async def test_what_cannot_be_asked_for_is_named(client, params) -> None:
    response = await client.get("/v1/usage", params=params)
    assert problem(response, 422) == "invalid_request"
    assert response.json()["errors"][0]["parameter"] in params


async def test_whoever_asks_in_the_meantime_shares_the_answer(client, monkeypatch) -> None:
    asked, usage_of = [], store.usage_of

    async def count(*args, **kwargs):
        asked.append(args)
        return await usage_of(*args, **kwargs)

    monkeypatch.setattr(store, "usage_of", count)
    assert (await get(client))["until"] == (await get(client))["until"]
    await get(client, by="day")
    assert len(asked) == 2
