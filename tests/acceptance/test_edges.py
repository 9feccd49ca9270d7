"""Runs over HTTP tell no secret in any log; a standby waits."""

import httpx2
import pytest

from agentfleet.store import api_keys
from tests.acceptance.fleet import TENANT, Fleet


async def test_a_run_over_http_tells_no_secret_in_any_log(fleet: Fleet) -> None:
    ingress = fleet.ground.start("workers.ingress", directory=fleet.directory, port=0)
    fleet.workers.append(ingress)
    worker = await fleet.worker(log_level="debug")
    key = await api_keys.create(fleet.ingress.db, TENANT, "canary")
    await ingress.ready()
    worker.secrets.append(key)
    ingress.secrets.append(key)
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=30"}
    async with httpx2.AsyncClient(base_url=(ingress.announced or {})["url"], headers=headers, timeout=60) as client:
        for agent in ("failer", "notes"):
            run = (await client.post("/v1/runs", json={"agent": agent, "input": "Go."})).json()
            answer = await client.get(f"/v1/runs/{run['id']}")
            assert answer.json()["status"] == "succeeded", answer.text
        refused = await client.get("/v1/runs", headers={"Authorization": f"Bearer {key}x"})
        assert refused.status_code == 401
    raised = worker.logs("tool_raised")
    assert len(raised) == 2, "the model tries a failed tool once more"
    assert all("no luck with" in line["exception"] for line in raised)
    noted = worker.logs("noted")[0]
    assert {"run_id", "step_id", "tenant_id", "attempt", "fence", "trace_id"} <= noted.keys()
    assert noted["tenant_id"] == TENANT
    assert await ingress.end() == 0


@pytest.mark.parametrize("kind", ["workers.dispatcher", "workers.reconciler"])
async def test_a_standby_waits_its_turn(fleet: Fleet, kind: str) -> None:
    standby = await fleet.ground.start(kind, directory=fleet.directory).ready()
    fleet.workers.append(standby)
    assert await standby.end() == 0
    assert standby.logs("started")
    assert not standby.logs("leading")
