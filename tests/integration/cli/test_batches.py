"""`agentfleet batches`, on a real database."""

import asyncio

from click.testing import CliRunner

from agentfleet.cli.main import main
from agentfleet.domain.batch import ItemState
from agentfleet.domain.states import StepState
from agentfleet.store import batches
from agentfleet.store.database import FLEET_ROLE, Database, DatabaseConfig
from agentfleet.store.ids import new_id
from tests.conftest import Clock
from tests.factories import make_step


def listed(database_url: str) -> list[list[str]]:
    env = {"AGENTFLEET_DATABASE_URL": database_url, "COLUMNS": "200"}
    result = CliRunner().invoke(main, ["batches"], env=env)
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.stdout.splitlines()[1:]]


async def fill(database_url: str) -> tuple[str, str]:
    """Two batches: one of two requests of which one is done, and one of which nobody knows yet."""
    db = Database(DatabaseConfig(database_url, FLEET_ROLE, "test-fleet", pool_size=1))
    await db.open()
    made = [await make_step(db, StepState.WAITING, due=900, blocked_on="batch") for _ in range(3)]
    for one in made:
        await batches.mark_item(db, one.step_id, ItemState.WAITING, was=None)
    first, second = new_id(), new_id()
    await batches.open_batch(db, first, "main", [(made[0].step_id, "a_0", 60.0), (made[1].step_id, "a_1", 60.0)])
    await batches.record(db, first, "msgbatch_1")
    await batches.store_results(db, [("a_0", ItemState.SUCCEEDED, "{}")])
    await batches.open_batch(db, second, "main", [(made[2].step_id, "b_0", 60.0)])
    await db.close()
    return first, second


def test_open_batches_are_listed_with_age_and_progress(database_url: str, clock: Clock) -> None:
    assert listed(database_url) == []
    first, second = asyncio.run(fill(database_url))
    clock.advance(3_900)
    assert listed(database_url) == [
        [first, "main", "msgbatch_1", "1h05m", "2", "1", "1"],
        [second, "main", "not", "known", "yet", "1h05m", "1", "0", "1"],
    ]
