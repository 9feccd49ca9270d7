"""The span in which a run is accepted: a part of the producer's trace, and what the run's spans link to."""

import asyncio
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace import TracerProvider

from agentfleet.client import Client
from agentfleet.store.database import Database
from agentfleet.telemetry import attributes as a
from agentfleet.telemetry import tracing
from tests.factories import tally
from tests.integration.api.conftest import app, client, connect, ingress, key, served, settings
from tests.tracing.conftest import PRODUCER, Tracing

__all__ = ["app", "client", "connect", "ingress", "key", "served", "settings"]
"""Fixtures of the API's tests."""

GOOD = {"agent": "support", "input": "Hello?"}
SERVER = 2


async def stored(db: Database, run_id: str) -> str | None:
    return (await tally(db, run_id)).run.traceparent


async def test_a_run_is_accepted_in_the_trace_of_its_producer_and_keeps_that_span(
    client: httpx2.AsyncClient, db: Database, traced: Tracing
):
    answer = await client.post("/v1/runs", json=GOOD, headers={"traceparent": PRODUCER, "tracestate": "vendor=1"})
    run_id = answer.json()["id"]
    [span] = traced.stop().spans
    _, trace_id, span_id, _ = PRODUCER.split("-")
    assert (span.name, span.kind, span.trace_id, span.parent_id) == ("POST /v1/runs", SERVER, trace_id, span_id)
    kept = await stored(db, run_id)
    assert kept is not None
    assert kept.split("-")[1:3] == [trace_id, span.span_id]
    assert span.attributes == {
        a.HTTP_METHOD: "POST", a.HTTP_ROUTE: "/v1/runs", a.HTTP_STATUS: 202, a.RUN_ID: run_id, a.AGENT: "support",
        a.POOL: "default", a.TENANT_ID: "acme", a.REPLAYED: False,
    }  # fmt: skip


@pytest.mark.parametrize("given", [None, "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "ff-a-b-c", ""])
async def test_without_a_valid_trace_of_the_producer_the_run_begins_one(
    given: str | None, client: httpx2.AsyncClient, db: Database, traced: Tracing
):
    headers = {} if given is None else {"traceparent": given}
    run_id = (await client.post("/v1/runs", json=GOOD, headers=headers)).json()["id"]
    [span] = traced.stop().spans
    kept = await stored(db, run_id)
    assert span.parent_id == ""
    assert kept is not None
    assert kept.split("-")[1:3] == [span.trace_id, span.span_id]


async def test_a_refused_request_is_no_error_of_ours(client: httpx2.AsyncClient, traced: Tracing):
    assert (await client.post("/v1/runs", json={"agent": "nobody", "input": "x"})).status_code == 422
    [span] = traced.stop().spans
    assert (span.attributes[a.HTTP_STATUS], span.failed) == (422, False)


async def test_a_submit_again_says_that_it_is_one(client: httpx2.AsyncClient, traced: Tracing):
    headers = {"Idempotency-Key": "order-7-canary"}
    first, second = [(await client.post("/v1/runs", json=GOOD, headers=headers)).json()["id"] for _ in range(2)]
    sink = traced.stop()
    assert first == second
    assert [span.attributes[a.REPLAYED] for span in sink.spans] == [False, True]
    assert not any(b"order-7-canary" in body for body in sink.raw)


async def test_the_typed_client_continues_its_callers_trace(served: str, key: str, db: Database):
    with TracerProvider().get_tracer("producer").start_as_current_span("checkout") as span:
        run = await asyncio.to_thread(submit, served, key)
    assert await stored(db, run.id) == tracing_header(span)
    assert await stored(db, (await asyncio.to_thread(submit, served, key)).id) is None


def submit(url: str, key: str) -> Any:
    with Client(url, key) as client:
        return client.submit("support", "Hello?")


def tracing_header(span: Any) -> str:
    at = span.get_span_context()
    return f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"


async def test_while_tracing_is_off_the_producers_own_trace_is_kept(client: httpx2.AsyncClient, db: Database):
    assert tracing.traceparent() is None
    run_id = (await client.post("/v1/runs", json=GOOD, headers={"traceparent": PRODUCER})).json()["id"]
    assert await stored(db, run_id) == PRODUCER
