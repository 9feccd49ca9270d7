"""What outsiders do to a fleet: strange messages on its queue, runs over HTTP; and nothing tells a secret."""

import json
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from agentfleet.broker.envelope import envelope
from agentfleet.domain.model import Doorbell
from agentfleet.store import api_keys
from agentfleet.store.ids import new_id
from tests.acceptance import agents
from tests.acceptance.fleet import TENANT, Fleet, until

QUEUE = "agentfleet.steps.default"
BELL = Doorbell(new_id(), new_id(), "default", "chat", "reason", "chat", 0, 1, None)
FORGED = envelope(BELL, QUEUE)


def changed(headers: dict[str, Any], **more: Any) -> bytes:
    message = json.loads(FORGED)
    message["headers"] |= headers
    return json.dumps({**message, **more}).encode()


def without(header: str) -> bytes:
    message = json.loads(FORGED)
    del message["headers"][header]
    return json.dumps(message).encode()


POISON = {
    "unreadable": b"\xff\x00 no text",
    "no message": b'{"hello": "world"}',
    "a foreign task": changed({"task": "somebody.elses"}),
    "no task": without("task"),
    "no id": without("id"),
    "an id that is none": changed({"id": "1; DROP TABLE steps"}),
    "pickle": changed({"task": "x"}, **{"content-type": "application/x-python-serialize"}),
    "pickle without a task": json.dumps({
        **json.loads(without("task")), "content-type": "application/x-python-serialize",
    }).encode(),
}  # fmt: skip
HARMLESS = [FORGED, FORGED, changed({"argsrepr": 7, "shadow": ["x"], "root_id": 5})]


async def test_poison_is_kept_raw_while_the_worker_goes_on(fleet: Fleet) -> None:
    worker = await fleet.worker(worker_capacity=4)
    async with Redis.from_url(fleet.ground.redis_url) as client:
        await client.lpush(QUEUE, *POISON.values(), *HARMLESS)  # pyright: ignore[reportGeneralTypeIssues]
    runs = await fleet.submit(agents.notes, 3)
    await fleet.finished(runs)
    query = "SELECT raw, error FROM dead_letters WHERE step_id IS NULL"
    await until(lambda: len(fleet.query(query)) == len(POISON), "all poison is kept")
    kept = [raw for raw, _ in fleet.query(query)]
    assert POISON["unreadable"] in kept
    assert POISON["no message"] in kept
    assert all("unreadable_message" in error for _, error in fleet.query(query))
    assert not worker.logs_at("critical")
    assert await worker.end() == 0


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
