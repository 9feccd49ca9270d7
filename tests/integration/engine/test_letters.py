"""A human is told that dead letters wait, once per tenant until none does."""

import pytest
from prometheus_client import REGISTRY

from agentfleet.domain.alerts import AlertKind
from agentfleet.domain.states import StepState
from agentfleet.engine.letters import LetterWatch
from agentfleet.store import alerts
from agentfleet.store.ids import new_id
from tests.factories import execute, make_step


@pytest.fixture
def watch(db) -> LetterWatch:
    return LetterWatch(db)


async def bury(db, tenant: str) -> None:
    made = await make_step(db, StepState.DEAD, tenant=tenant)
    execute(db.config.url, "INSERT INTO dead_letters (id, tenant_id, run_id, step_id, verdict, error) VALUES (%s, %s, %s, %s, 'x', '{}')",
            new_id(), tenant, made.run_id, made.step_id)  # fmt: skip


async def told(db) -> dict[str, tuple[int, str]]:
    return {alert.subject: (alert.seen, alert.message) for alert in await alerts.listed(db, resolved=False, limit=10)}


async def test_each_tenant_with_dead_letters_is_told_of_once(db, watch):
    for tenant in ("acme", "acme", "rival"):
        await bury(db, tenant)
    for _ in range(3):
        assert await watch.run_once() == 0
    assert REGISTRY.get_sample_value("agentfleet_dead_letters_open") == 3
    found = await told(db)
    assert set(found) == {"acme", "rival"}
    assert found["acme"] == (
        1,
        "2 dead letters of tenant acme to decide about: see `agentfleet dead-letters clusters`.",
    )
    assert found["rival"][1].startswith("1 dead letter of tenant rival ")


async def test_it_is_over_when_none_waits_and_begins_anew(db, watch, database_url):
    await bury(db, "acme")
    await watch.run_once()
    execute(database_url, "UPDATE dead_letters SET state = 'discarded', resolved_at = now()")
    await watch.run_once()
    assert await told(db) == {}
    await bury(db, "acme")
    await watch.run_once()
    assert set(await told(db)) == {"acme"}


async def test_alerts_of_other_kinds_are_left_alone(db, watch):
    await alerts.raise_alert(db, AlertKind.ACCOUNT_PARKED, "acme", "Parked.", {})
    await watch.run_once()
    assert set(await told(db)) == {"acme"}


async def test_an_unreadable_message_is_nobodys(db, watch, database_url):
    execute(database_url, "INSERT INTO dead_letters (id, verdict, error, raw) VALUES (%s, 'x', '{}', '')", new_id())
    await watch.run_once()
    assert await told(db) == {}
