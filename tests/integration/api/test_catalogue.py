"""What a deployment says of itself."""

import psycopg
import pytest

from agentfleet.api import schemas


async def test_agents_are_listed_with_all_a_client_needs(client) -> None:
    found = schemas.Agents.model_validate((await client.get("/v1/agents")).json())
    assert [agent.name for agent in found.data] == ["orders", "support"]
    orders, support = found.data
    assert orders.input_schema is not None
    assert set(orders.input_schema["properties"]) == {"number", "reason"}
    assert orders.output_schema is not None
    assert orders.budget["deadline"] == 60
    assert (support.input_schema, support.output_schema) == (None, None)
    [look] = support.tools
    assert (look.name, look.effect, look.description) == ("look", "read", "Look at one place.")


async def test_the_limits_that_are_kept_are_told(client, settings) -> None:
    found = schemas.Meta.model_validate((await client.get("/v1/meta")).json())
    assert found.version
    assert found.limits["max_body_bytes"] == settings.max_body_bytes
    assert found.limits["max_wait_seconds"] == 600


async def test_a_process_is_ready_when_it_can_accept_runs(connect, app) -> None:
    client = connect(None)
    alive = await client.get("/healthz")
    assert schemas.Liveness.model_validate(alive.json()).status == "ok"
    ready = await client.get("/readyz")
    assert schemas.Readiness.model_validate(ready.json()).checks == {"database": "ok", "schema": "ok", "redis": "ok"}
    app.state.services.watch.stop()
    stopping = await client.get("/readyz")
    assert (stopping.status_code, stopping.json()["status"]) == (503, "stopping")


@pytest.mark.parametrize(("revision", "status"), [("0000", 200), ("9999", 200), (None, 503)])
async def test_a_schema_that_is_newer_is_good_enough_and_none_is_not(
    connect, database_url, revision: str | None, status: int
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM alembic_version")
        if revision is not None:
            connection.execute("INSERT INTO alembic_version VALUES (%s)", (revision,))
    response = await connect(None).get("/readyz")
    assert response.status_code == status
    assert schemas.Readiness.model_validate(response.json())


async def test_metrics_are_readable_without_a_key(connect) -> None:
    response = await connect(None).get("/metrics")
    assert response.status_code == 200
    assert "agentfleet_http_request_duration_seconds" in response.text
