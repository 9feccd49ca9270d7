"""Real processes: an ingress, a step worker under Celery, the typed client, and a collector."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from redis.asyncio import Redis

from agentfleet import bootstrap
from agentfleet.client import Client
from agentfleet.settings import Settings
from agentfleet.store import api_keys
from agentfleet.telemetry import attributes as a
from tests.acceptance.agents import notes
from tests.acceptance.conftest import ground
from tests.acceptance.fleet import Fleet, Ground, until
from tests.tracing.sink import Sink

__all__ = ["ground"]
"""The ground of the acceptance tests."""


@pytest.fixture
async def processes(ground: Ground, tmp_path: Path, sink: Sink) -> AsyncIterator[Fleet]:
    """A step worker that traces, on an empty Redis."""
    ground.simulator.simulator.reset()
    async with Redis.from_url(ground.redis_url) as client:
        await client.flushall()
    async with bootstrap.ingress(Settings(database_url=ground.database_url, redis_url=ground.redis_url)) as ingress:
        made = Fleet(ground, ingress, tmp_path)
        yield made
        made.close()


async def test_a_drained_fleet_has_sent_every_span_of_a_run_in_the_trace_of_its_client(processes: Fleet, sink: Sink):
    ground = processes.ground
    door = ground.start("workers.ingress", directory=processes.directory, tracing="otlp", port=0)
    worker = processes.start(tracing="otlp", log_level="debug")
    key = await api_keys.create(processes.ingress.db, "acme", "test")
    await door.ready()
    await worker.ready()
    assert door.announced is not None
    with TracerProvider().get_tracer("shop").start_as_current_span("checkout") as checkout:
        at = checkout.get_span_context()
        with Client(door.announced["url"], key) as client:
            run = client.submit("notes", "Go.")
    await processes.finished([run.id])
    assert await worker.end() == 0
    assert await door.end() == 0
    [accepted] = sink.named("POST /v1/runs")
    assert (accepted.trace_id, accepted.parent_id) == (f"{at.trace_id:032x}", f"{at.span_id:016x}")
    assert accepted.resource["service.name"] == "agentfleet-ingress"
    roots = sink.named("invoke_agent notes")
    assert len(roots) == processes.query("SELECT count(*) FROM steps WHERE run_id = %s", run.id)[0][0]
    assert {link[:2] for root in roots for link in root.links} == {(accepted.trace_id, accepted.span_id)}
    assert {span.attributes[a.RUN_ID] for span in sink.spans} == {run.id}
    assert {root.resource["service.name"] for root in roots} == {"agentfleet-steps"}
    ids = {(span.trace_id, span.span_id) for span in roots}
    told = [(line["trace_id"], line["span_id"]) for line in worker.logs("step_settled")]
    assert len(told) == len(roots)
    assert set(told) == ids


async def test_a_worker_works_and_drains_though_the_collector_never_answers(
    processes: Fleet, sink: Sink, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    sink.hold()
    worker = await processes.worker(tracing="otlp")
    await processes.finished(await processes.submit(notes, 3))
    await until(lambda: sink.waiting, "spans are on their way")
    assert await worker.end() == 0
    assert (sink.waiting, sink.raw) == (1, [])  # to this moment
    assert worker.logs("drain_ended")
