"""A database that goes away is a 503 and a pause, never a 500 and never an end."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from agentfleet.api.app import create_app
from agentfleet.store import api_keys
from agentfleet.store.database import APP_ROLE, Database, DatabaseConfig
from tests.integration.api.answers import problem
from tests.integration.api.conftest import assemble
from tests.integration.api.test_wait import until_watched
from tests.integration.api.waits import soon

BODY = {"agent": "support", "input": "x"}


@pytest.fixture
async def impatient(database_url, redis, settings) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application that does not wait long for a connection."""
    db = Database(DatabaseConfig(database_url, APP_ROLE, "test-app", patience=0.2))
    await db.open()
    key = await api_keys.create(db, "acme", "test")
    app = create_app(settings, assemble(db, redis, settings))
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
            yield client
    await db.close()


async def test_a_database_that_is_gone_is_a_503_never_a_500(database_url, impatient) -> None:
    run = (await impatient.post("/v1/runs", json=BODY)).json()
    name = conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(database_url, dbname="postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))))
        try:
            for _ in range(6):  # more often than there are connections to be found broken
                for path in (run["urls"]["self"], "/v1/runs", "/v1/dead-letters", run["urls"]["events"]):
                    response = await impatient.get(path)
                    assert problem(response, 503) == "unavailable"
                    assert response.headers["retry-after"] == "1"
                for path in ("/v1/runs", run["urls"]["cancel"]):
                    assert problem(await impatient.post(path, json=BODY), 503) == "unavailable"
            ready = await impatient.get("/readyz")
            assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "unreachable")
            assert (await impatient.get("/healthz")).status_code == 200
        finally:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(name))))


async def test_waiters_outlive_a_broken_connection(client, submit, hands, app, database_url) -> None:
    run = await submit()
    waiting = asyncio.create_task(client.get(run["urls"]["self"], headers={"Prefer": "wait=600"}))
    await until_watched(app, run["id"])
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test-app'")
    await hands.finish(run["id"])
    assert (await soon(waiting)).status_code in {200, 503}  # the read at the end may still meet a broken connection
    async with asyncio.timeout(20):
        while (again := await client.get(run["urls"]["self"])).status_code != 200:
            assert problem(again, 503) == "unavailable"
    assert again.json()["status"] == "succeeded"
