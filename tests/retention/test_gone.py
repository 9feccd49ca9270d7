"""What the API says of runs that were deleted, and of those whose details were."""

from datetime import datetime, timedelta

from agentfleet.api import schemas
from agentfleet.domain.retention import Keep
from agentfleet.engine.prune import RunPruner
from agentfleet.store import retention
from tests.integration.api.answers import problem
from tests.retention.conftest import DAY, ended

PARTS = ("steps", "messages", "events")


async def test_a_deleted_run_is_gone_and_not_unknown(db, connect, key, other_key) -> None:
    run_id = await ended(db, 31)
    assert await RunPruner(db, Keep(runs=30 * DAY)).run_once() == 1
    owner, stranger = connect(key), connect(other_key)
    for path in (f"/v1/runs/{run_id}", *(f"/v1/runs/{run_id}/{part}" for part in ("result", *PARTS))):
        answer = await owner.get(path)
        assert problem(answer, 410) == "run_gone"
        found = answer.json()
        assert (found["status_of_run"], found["archived"]) == ("succeeded", False)
        assert found["deleted_at"] > found["finished_at"]
        assert problem(await stranger.get(path), 404) == "not_found"
    assert problem(await owner.post(f"/v1/runs/{run_id}/cancel"), 410) == "run_gone"
    assert (await owner.get("/v1/runs")).json()["data"] == []


async def test_a_run_without_its_details_still_answers_and_says_what_is_gone(db, client) -> None:
    run_id = await ended(db, 8)
    before = (await client.get(f"/v1/runs/{run_id}")).headers["etag"]
    assert await RunPruner(db, Keep(details=7 * DAY)).run_once() == 1
    answer = await client.get(f"/v1/runs/{run_id}", headers={"If-None-Match": before})
    run = schemas.Run.model_validate_json(answer.text)
    assert (run.output, run.expires_at, run.details_deleted_at is not None) == ("Done.", None, True)
    assert (await client.get(f"/v1/runs/{run_id}/result")).json()["output"] == "Done."
    for part in PARTS:
        assert problem(await client.get(f"/v1/runs/{run_id}/{part}"), 410) == "details_gone"
    seen = await client.get(f"/v1/runs/{run_id}/events", headers={"Last-Event-ID": "2"})
    assert seen.status_code == 204  # nothing is missing to whom has seen all


async def test_a_run_says_when_it_will_be_deleted_as_its_tenant_keeps_it(db, connect, key, other_key) -> None:
    await retention.change(db, "acme", {"runs": 30 * DAY, "failed_runs": 60 * DAY})
    good, bad = await ended(db, 1), await ended(db, 1, state="failed")
    theirs = await ended(db, 1, tenant="rival")
    client, other = connect(key), connect(other_key)
    for run_id, days in ((good, 30), (bad, 60)):
        run = (await client.get(f"/v1/runs/{run_id}")).json()
        finished, expires = (datetime.fromisoformat(run[name]) for name in ("finished_at", "expires_at"))
        assert expires - finished == timedelta(days=days)
    listed = {run["id"]: run["expires_at"] for run in (await client.get("/v1/runs")).json()["data"]}
    assert all(listed.values())
    assert (await other.get(f"/v1/runs/{theirs}")).json()["expires_at"] is None
