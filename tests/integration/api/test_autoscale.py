"""The size of a pool over HTTP: one decision for all who ask, made of what is known in Postgres."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product

import httpx2
import pytest
from pydantic import SecretStr

from agentfleet.api import schemas
from agentfleet.domain.expectations import Expectation
from agentfleet.domain.states import StepState
from agentfleet.settings import Settings
from agentfleet.store import capacity, expectations
from tests.factories import execute, make_step

TOKEN = "an-internal-token"
AUTOSCALE, EXPECTATIONS = "/internal/autoscale", "/internal/expectations"
POOLS = '{"default": {"concurrency": 2, "max_workers": 8, "headroom": 0}}'


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        internal_token=SecretStr(TOKEN),
        scale_pools=POOLS,
        scale_lead=600,
    )


@pytest.fixture
def operator(connect) -> httpx2.AsyncClient:
    """Who has the fleet's token."""
    client = connect(None)
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    return client


@pytest.fixture
async def measured(db) -> None:
    """The pool `default`, as its reconciler has found it: steps hold a slot for a second."""
    await capacity.record(db, "default", 1.0, None)


@pytest.fixture
def ask(operator, clock) -> Callable:
    """Ask for a decision that is new."""

    async def asking() -> schemas.Autoscale:
        clock.advance(40)
        response = await operator.get(AUTOSCALE)
        assert response.status_code == 200, response.text
        return schemas.Autoscale.model_validate_json(response.content)

    return asking


def loads(url: str, *rows: tuple[datetime, int]) -> None:
    """Five minutes each, in which so many steps came."""
    for at, arrivals in rows:
        insert = (
            "INSERT INTO pool_loads (pool, at, until, arrivals, seconds, rate) VALUES ('default', %s, %s, %s, 300, 0)"
        )
        execute(url, insert, at, at, arrivals)


async def test_who_has_not_the_token_is_told_what_to_send(connect, key):
    for path, given in product((AUTOSCALE, EXPECTATIONS), (None, key, "another-token", "\u00e4" * 20)):
        response = await connect(None).get(path, headers=_bearer(given))
        assert response.status_code == 401
        assert "AGENTFLEET_INTERNAL_TOKEN" in response.json()["detail"]


async def test_a_pool_that_nobody_has_measured_is_not_found(operator):
    response = await operator.get(AUTOSCALE, params={"pool": "gpu"})
    assert response.status_code == 404
    assert "its reconciler does" in response.json()["detail"]
    assert (await operator.get(AUTOSCALE, params={"pool": "GPU!"})).status_code == 422


@pytest.mark.usefixtures("measured")
async def test_an_answer_says_how_many_workers_and_why(db, ask):
    for state in (StepState.READY, StepState.DISPATCHED, StepState.RUNNING, StepState.WAITING):
        await make_step(db, state)
    found = await ask()
    assert (found.desired_workers, found.binding, found.demand) == (1, "work", 4)
    assert (found.waiting, found.running, found.slots_per_worker, found.max_workers) == (3, 1, 2, 8)
    assert found.reason == "Steps: 3 wait, 1 run, 0 a second came of late."


@pytest.mark.usefixtures("measured")
async def test_who_asks_again_at_once_gets_the_same_decision(db, operator, ask):
    first = await ask()
    for _ in range(6):
        await make_step(db, StepState.RUNNING)
    again = schemas.Autoscale.model_validate_json((await operator.get(AUTOSCALE)).content)
    assert again == first
    assert (await ask()).desired_workers == 3


@pytest.mark.usefixtures("measured")
async def test_a_decision_remembers_the_ones_before_it(db, database_url, ask):
    for _ in range(6):
        await make_step(db, StepState.RUNNING)
    assert (await ask()).desired_workers == 3
    execute(database_url, "UPDATE steps SET state = 'succeeded', lease_until = NULL")
    found = await ask()
    assert (found.desired_workers, found.demand) == (3, 0)
    assert found.reason == "Steps: 0 wait, 0 run; kept warm: 1; on the way down to 1 workers."


async def test_what_waits_for_the_provider_asks_for_what_the_provider_can_answer_and_no_more(db, ask):
    await capacity.record(db, "default", 60.0, 5.0)
    for _ in range(12):
        await make_step(db, StepState.WAITING, due=600, bucket="acme/opus")
    found = await ask()
    assert (found.desired_workers, found.desired_slots, found.provider_slots) == (3, 5.0, 5.0)
    assert found.binding == "provider"


@pytest.mark.usefixtures("measured")
async def test_the_same_hour_of_last_week_is_expected_again(database_url, ask):
    last_week = datetime.now(UTC) - timedelta(weeks=1)
    loads(database_url, *((last_week + timedelta(minutes=5 * n), 300 * n) for n in range(1, 12)))
    found = await ask()
    assert found.forecast_per_second == pytest.approx(10, rel=0.01)
    assert found.desired_workers == 5
    assert "10 a second are expected" in found.reason


@pytest.mark.usefixtures("measured")
async def test_an_announced_event_is_made_room_for_before_it_begins(db, database_url, clock, ask):
    now = datetime.now(UTC)
    loads(database_url, *((now - timedelta(minutes=5 * n), 300) for n in range(2, 12)))  # older than what was measured
    soon = now + timedelta(seconds=1_000)
    await expectations.add(db, Expectation(6.0, 3_600.0, soon, pool="default"))
    await expectations.add(db, Expectation(50.0, 3_600.0, soon, pool="other"))
    assert (await ask()).forecast_per_second == 0
    clock.advance(400)
    found = await ask()
    assert found.forecast_per_second == pytest.approx(6, rel=0.01)
    assert found.desired_workers == 3
    clock.advance(5_000)
    assert (await ask()).forecast_per_second == 0


async def test_an_expectation_is_announced_listed_and_taken_back(operator):
    asked = {"cron": "0 9 * * 1-5", "tz": "Europe/Berlin", "seconds": 3_600, "factor": 3, "note": "the office opens"}
    response = await operator.post(EXPECTATIONS, json=asked)
    assert response.status_code == 201, response.text
    made = schemas.Expectation.model_validate_json(response.content)
    assert (made.cron, made.pool, made.at) == ("0 9 * * 1-5", None, None)
    assert made.next is not None
    found = schemas.Expectations.model_validate_json((await operator.get(EXPECTATIONS)).content)
    assert found.data == [made]
    assert (await operator.delete(f"{EXPECTATIONS}/{made.id}")).status_code == 204
    assert (await operator.delete(f"{EXPECTATIONS}/{made.id}")).status_code == 404
    assert (await operator.delete(f"{EXPECTATIONS}/x")).status_code == 404


WRONG = [
    ({"factor": 2, "seconds": 60}, "/at"),
    ({"factor": 2, "seconds": 60, "cron": "* * * *"}, "/cron"),
    ({"factor": 2, "seconds": 60, "cron": "0 0 30 2 *"}, "/cron"),
    ({"factor": 2, "seconds": 60, "cron": "* * * * *", "tz": "Mars/Base"}, "/tz"),
    ({"factor": 0, "seconds": 60, "cron": "* * * * *"}, "/factor"),
    ({"factor": 2, "seconds": 60, "at": "2026-12-01T09:00:00"}, "/at"),
]


async def test_what_cannot_be_expected_is_refused_by_name(operator):
    for wrong, pointer in WRONG:
        response = await operator.post(EXPECTATIONS, json=wrong)
        assert response.status_code == 422
        assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]


def _bearer(token: str | None) -> dict[str, bytes]:
    return {} if token is None else {"Authorization": f"Bearer {token}".encode("latin-1")}
