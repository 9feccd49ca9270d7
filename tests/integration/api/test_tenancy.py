"""Two tenants: neither sees, counts or touches what the other has, on any route."""

from typing import Any

from sqlalchemy import func, select

from agentfleet.api.app import ROUTES
from agentfleet.store.tables import audit
from tests.integration.api.answers import problem
from tests.integration.api.test_dead_letters import dead

BY_ID = [
    (method, route)
    for route in ROUTES
    if route.path.startswith("/v1") and "{" in route.path
    for method in sorted(route.methods or ())
]
INTERNAL = [
    (m, route.path) for route in ROUTES if route.path.startswith("/internal") for m in sorted(route.methods or ())
]
LISTS = [
    route.path
    for route in ROUTES
    if route.path.startswith("/v1") and "{" not in route.path and "GET" in (route.methods or ())
]


def fill(path: str, run: dict[str, Any], letter: dict[str, Any]) -> str:
    return path.replace("{run_id}", run["id"]).replace("{dead_letter_id}", letter["id"])


async def test_what_another_tenant_has_is_not_found(client, connect, other_key, submit, hands, db) -> None:
    run, letter = await dead(client, submit, hands)
    before = (await client.get(run["urls"]["self"])).json()
    other = connect(other_key)
    for method, route in BY_ID:
        theirs = await other.request(method, fill(route.path, run, letter), headers={"Prefer": "wait=600"})
        assert problem(theirs, 404) == "not_found", route.path
        never_was = await other.request(method, fill(route.path, {"id": letter["id"]}, {"id": run["id"]}))
        assert (never_was.json()["title"], {*never_was.json()}) == (theirs.json()["title"], {*theirs.json()})
    assert (await client.get(run["urls"]["self"])).json() == before
    async with db.reading() as connection:
        assert await connection.scalar(select(func.count()).select_from(audit)) == 0


async def test_a_tenants_key_opens_nothing_internal(client) -> None:
    assert INTERNAL
    for method, path in INTERNAL:
        assert problem(await client.request(method, path), 401) == "unauthenticated", path


async def test_lists_hold_nothing_of_another_tenant(client, connect, other_key, submit, hands) -> None:
    run, letter = await dead(client, submit, hands)
    for path in LISTS:
        response = await connect(other_key).get(path)
        assert response.status_code == 200
        assert run["id"] not in response.text
        assert letter["id"] not in response.text


async def test_a_cursor_of_another_tenant_opens_nothing(client, connect, other_key, submit) -> None:
    for _ in range(2):
        await submit()
    cursor = (await client.get("/v1/runs?limit=1")).json()["next_cursor"]
    response = await connect(other_key).get("/v1/runs", params={"cursor": cursor})
    assert response.json() == {"data": [], "next_cursor": None}


async def test_replaying_another_tenants_dead_letters_skips_them(client, connect, other_key, submit, hands, db) -> None:
    run, letter = await dead(client, submit, hands)
    response = await connect(other_key).post("/v1/dead-letters/replay", json={"ids": [letter["id"]]})
    assert response.json() == {"replayed": [], "skipped": [letter["id"]]}
    assert (await client.get(run["urls"]["self"])).json()["status"] == "needs_review"
    async with db.reading() as connection:
        assert await connection.scalar(select(func.count()).where(audit.c.tenant_id == "acme")) == 0
