"""Dead letters that were dealt with are forgotten when they are old; open ones wait for a human, however long."""

import pytest

from agentfleet.domain.errors import ProviderRejected
from agentfleet.engine.cancel import Canceller
from agentfleet.engine.prune import BATCH, Pruner
from agentfleet.engine.replay import Undertaker
from agentfleet.store import steps
from agentfleet.store.ids import new_id
from tests.factories import TENANT, execute, make_tool, tally
from tests.integration.engine.outcomes import failed, held, settle

DAY = 86_400.0
DAYS = 90

pytestmark = pytest.mark.usefixtures("invariants_hold")


@pytest.fixture
def undertaker(app_db, bells) -> Undertaker:
    return Undertaker(app_db, bells, Canceller(app_db, bells))


@pytest.fixture
def prune(db):
    return Pruner(db, days=DAYS).run_once


async def bury(db) -> tuple[str, str]:
    """A run with a dead letter: their ids."""
    made = await make_tool(db)
    await settle(db, failed(held(made), ProviderRejected("no")))
    [letter] = (await tally(db, made.run_id)).dead_letters
    return made.run_id, str(letter.id)


async def letters(database_url) -> set[str]:
    return {one for (one,) in execute(database_url, "SELECT id::text FROM dead_letters")}


async def test_what_was_dealt_with_long_ago_goes_and_what_is_open_stays(
    db, undertaker, prune, clock, database_url
) -> None:
    (_, replayed), (_, discarded), (_, waiting) = [await bury(db) for _ in range(3)]
    raw = new_id()
    await steps.bury_message(db, raw, b"x", "no JSON")
    await undertaker.replay(TENANT, [replayed])
    await undertaker.discard(TENANT, discarded)
    clock.advance((DAYS - 1) * DAY)
    assert await prune() == 0
    clock.advance(2 * DAY)
    assert await prune() == 3
    assert await letters(database_url) == {waiting}
    assert await prune() == 0


async def test_the_days_count_from_when_it_was_dealt_with(db, undertaker, prune, clock, database_url) -> None:
    _, letter = await bury(db)
    clock.advance(2 * DAYS * DAY)
    await undertaker.replay(TENANT, [letter])
    assert await prune() == 0
    clock.advance((DAYS + 1) * DAY)
    assert await prune() == 1
    assert await letters(database_url) == set()


async def test_one_round_is_bounded(db, prune, clock, database_url) -> None:
    for _ in range(BATCH + 2):
        await steps.bury_message(db, new_id(), b"x", "no JSON")
    clock.advance((DAYS + 1) * DAY)
    assert [await prune() for _ in range(3)] == [BATCH, 2, 0]
