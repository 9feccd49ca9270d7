"""Budgets over HTTP: what is left, more of it, and children that spend from it."""

import asyncio
import json
from decimal import Decimal

import pytest
from click.testing import CliRunner

from agentfleet.api import schemas
from agentfleet.cli.main import main
from agentfleet.domain.budget import Budget
from agentfleet.domain.errors import BudgetExceeded
from agentfleet.store import tenants
from tests.factories import execute
from tests.integration.api.answers import pointers, problem
from tests.integration.api.test_cancel import audited
from tests.integration.engine.outcomes import failed

NOTHING = {"steps": 0, "tool_calls": 0, "tokens": 0, "cost_usd": "0"}
UNLIMITED = {"steps": None, "tool_calls": None, "tokens": None, "cost_usd": None}


async def change(client, run, budget, **headers):
    return await client.patch(run["urls"]["self"], json={"budget": budget}, headers=headers)


async def test_a_run_tells_what_it_may_still_spend(client, submit, hands) -> None:
    run = await submit()
    found = schemas.Run.model_validate((await client.get(run["urls"]["self"])).json()).model_dump()["budget"]
    assert found == {"max": {**UNLIMITED, "steps": 100}, "used": NOTHING, "held": NOTHING,
                     "remaining": {**UNLIMITED, "steps": 100}}  # fmt: skip
    await hands.finish(run["id"])
    found = (await client.get(run["urls"]["self"])).json()["budget"]
    assert found["used"] == {"steps": 1, "tool_calls": 0, "tokens": 160, "cost_usd": "0.0125"}
    assert found["remaining"]["steps"] == 99


async def test_raising_a_budget_makes_what_waits_for_it_due(
    client, submit, hands, db, app_db, key, database_url
) -> None:
    run = await submit()
    claimed = await hands.claim(run["id"])
    await hands.settle(failed(claimed, BudgetExceeded("enough")))
    waiting = (await client.get(run["urls"]["self"])).json()
    assert (waiting["status"], waiting["blocked_on"]) == ("waiting", "budget")

    response = await change(client, run, {"max_cost_usd": "2.50", "max_steps": None})
    assert response.status_code == 200
    found = schemas.Run.model_validate(response.json()).model_dump()["budget"]
    assert found["max"] == {**UNLIMITED, "cost_usd": "2.5"}
    assert execute(database_url, "SELECT not_before <= agentfleet_now() FROM steps") == [(True,)]
    events = execute(database_url, "SELECT type, data FROM run_events ORDER BY seq DESC LIMIT 1")
    ceilings = {"max_steps": None, "max_tool_calls": None, "max_tokens": None, "max_cost_usd": "2.50000000"}
    assert [(kind, json.loads(data)) for kind, data in events] == [("run.budget_changed", ceilings)]
    assert [row[2:] for row in await audited(db)] == [("run.change_budget", run["id"])]


async def test_what_is_left_out_of_a_change_stays(client, submit) -> None:
    run = await submit()
    await change(client, run, {"max_tokens": 5_000})
    found = (await change(client, run, {"max_tool_calls": 3})).json()["budget"]["max"]
    assert found == {"steps": 100, "tool_calls": 3, "tokens": 5_000, "cost_usd": None}


async def test_a_change_can_ask_for_the_version_that_it_knows(client, submit) -> None:
    run = await submit()
    known = (await client.get(run["urls"]["self"])).headers["etag"]
    assert (await change(client, run, {"max_steps": 5}, **{"If-Match": known})).status_code == 200
    late = await change(client, run, {"max_steps": 6}, **{"If-Match": known})
    assert (problem(late, 412), late.json()["version"]) == ("precondition_failed", 2)
    assert (await change(client, run, {"max_steps": 7}, **{"If-Match": "*"})).status_code == 200


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, ["/budget"]),
        ({"budget": {}}, ["/budget"]),
        ({"budget": {"max_steps": 1}, "state": "paused"}, ["/state"]),
        ({"budget": {"max_steps": 0, "max_tokens": True, "max_hope": 1}}, [
            "/budget/max_steps", "/budget/max_tokens", "/budget/max_hope"]),
        ({"budget": {"max_cost_usd": "NaN"}}, ["/budget/max_cost_usd"]),
        ({"budget": {"max_cost_usd": 1e9}}, ["/budget/max_cost_usd"]),
        ({"budget": {"max_cost_usd": "1e-30"}}, ["/budget/max_cost_usd"]),
    ],
)  # fmt: skip
async def test_a_change_that_makes_no_sense_changes_nothing_and_says_why(client, submit, body, places) -> None:
    run = await submit()
    response = await client.patch(run["urls"]["self"], json=body)
    assert (problem(response, 422), pointers(response)) == ("invalid_request", set(places))
    assert (await client.get(run["urls"]["self"])).json()["version"] == 1


async def test_a_run_that_has_ended_or_is_anothers_cannot_be_changed(client, connect, other_key, submit, hands) -> None:
    run = await submit()
    assert problem(await change(connect(other_key), run, {"max_steps": 5}), 404) == "not_found"
    await hands.finish(run["id"])
    assert problem(await change(client, run, {"max_steps": 5}), 409) == "run_ended"


async def test_a_tenant_sees_its_day_and_no_other(client, connect, other_key, submit, hands, db) -> None:
    assert (await client.get("/v1/budgets")).json() == {"tenant_day": None}
    first, second = await submit(), await submit()
    await hands.finish(first["id"])
    await tenants.change(db, "acme", Budget(max_steps=None, max_cost_usd=Decimal(1)), Decimal(2))
    found = schemas.Budgets.model_validate((await client.get("/v1/budgets")).json()).model_dump()["tenant_day"]
    assert (found["max"]["cost_usd"], found["used"]["cost_usd"], found["used"]["steps"]) == ("1", "0.0125", 1)
    await hands.claim(second["id"])
    assert (found["resets_at"].date() - found["day"]).days == 1
    assert (await connect(other_key).get("/v1/budgets")).json() == {"tenant_day": None}


async def test_a_child_is_paid_by_its_parent_and_ends_with_it(client, submit, hands) -> None:
    parent = await submit()
    child = await submit(parent_run_id=parent["id"])
    assert (await client.get(child["urls"]["self"])).json()["parent_run_id"] == parent["id"]
    await hands.claim(child["id"])
    assert (await client.get(parent["urls"]["self"])).json()["budget"]["used"] == NOTHING
    await client.post(parent["urls"]["cancel"])
    found = (await client.get(child["urls"]["self"])).json()
    assert (found["status"], found["error"]["class"]) == ("cancelled", "parent_ended")


async def test_only_an_own_run_that_has_not_ended_has_children_and_not_too_many_in_a_line(
    client, connect, other_key, submit, hands
) -> None:
    body = {"agent": "support", "input": "Hello?"}
    run = await submit()
    stranger = await connect(other_key).post("/v1/runs", json={**body, "parent_run_id": run["id"]})
    nobody = await client.post("/v1/runs", json={**body, "parent_run_id": "me"})
    assert [(problem(one, 422), pointers(one)) for one in (stranger, nobody)] == [
        ("invalid_request", {"/parent_run_id"})
    ] * 2
    line = [run["id"]]
    for _ in range(7):
        line.append((await submit(parent_run_id=line[-1]))["id"])
    ninth = await client.post("/v1/runs", json={**body, "parent_run_id": line[-1]})
    assert (problem(ninth, 422), "8 runs" in ninth.json()["detail"]) == ("invalid_request", True)

    keyed = {"Idempotency-Key": "once"}
    first = await client.post("/v1/runs", json={**body, "parent_run_id": run["id"]}, headers=keyed)
    await hands.finish(run["id"])
    again = await client.post("/v1/runs", json={**body, "parent_run_id": run["id"]}, headers=keyed)
    assert again.json()["id"] == first.json()["id"]
    late = await client.post("/v1/runs", json={**body, "parent_run_id": run["id"]})
    assert problem(late, 409) == "parent_ended"


async def test_the_shell_shows_and_raises_a_budget(served, key, submit, db) -> None:
    run = await submit()
    await tenants.change(db, "acme", Budget(max_steps=None, max_tokens=1_000), Decimal(1))

    async def call(*arguments: str) -> list[list[str]]:
        env = {"AGENTFLEET_API_URL": served, "AGENTFLEET_API_KEY": key, "COLUMNS": "120"}
        done = await asyncio.to_thread(CliRunner().invoke, main, ["budgets", *arguments], env=env)
        assert done.exit_code == 0, done.output
        return [line.split() for line in done.output.splitlines()]

    assert ["tokens", "1000", "0", "0", "1000"] in await call("show")
    assert ["steps", "100", "0", "0", "100"] in await call("show", run["id"])
    changed = await call("set", run["id"], "--max-cost-usd", "2", "--max-steps", "none")
    assert ["steps", "none", "0", "0", "none"] in changed
    assert ["cost", "usd", "2", "0", "0", "2"] in changed
