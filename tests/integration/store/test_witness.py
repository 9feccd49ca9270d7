"""What the demo calls a proof would find every fault that it claims to look for."""

from collections.abc import Iterator

import pytest

from agentfleet.store.database import FLEET_ROLE, Database
from agentfleet.store.witness import Witness
from tests.factories import execute, make_step, submit
from tests.integration.api.hands import Hands


@pytest.fixture
def witness(database_url: str) -> Iterator[Witness]:
    with Witness(database_url, FLEET_ROLE) as found:
        yield found


@pytest.fixture
async def run_id(db: Database) -> str:
    """A run of three steps that succeeded."""
    hands, accepted = Hands(db), await submit(db)
    for do in (hands.call_tool, hands.call_tool, hands.finish):
        await do(accepted.run_id)
    return accepted.run_id


async def test_a_run_that_went_well_is_flawless(witness: Witness, run_id: str) -> None:
    found = witness.examine([run_id])
    assert found.flawless
    assert (found.submitted, found.succeeded, found.steps, found.attempts) == (1, 1, 3, 3)


async def test_a_run_that_has_not_ended_counts_as_lost(witness: Witness, run_id: str, db: Database) -> None:
    other = await submit(db)
    found = witness.examine([run_id, other.run_id])
    assert (found.succeeded, found.lost, found.flawless) == (1, 1, False)


async def test_a_run_that_is_not_there_counts_as_lost(witness: Witness, run_id: str, database_url: str) -> None:
    execute(database_url, "DELETE FROM runs")
    assert witness.examine([run_id]).lost == 1


async def test_a_step_that_two_attempts_settled_is_found(witness: Witness, run_id: str, database_url: str) -> None:
    execute(
        database_url,
        "INSERT INTO attempts (step_id, fence, attempt, outcome, claimed_at, finished_at)"
        " SELECT id, 99, 2, 'succeed', now(), now() FROM steps WHERE seq = 0",
    )
    found = witness.examine([run_id])
    assert (found.settled_twice, found.flawless) == (1, False)


async def test_a_step_that_no_attempt_settled_is_found(witness: Witness, run_id: str, database_url: str) -> None:
    execute(database_url, "DELETE FROM attempts WHERE step_id = (SELECT id FROM steps WHERE seq = 0)")
    found = witness.examine([run_id])
    assert (found.unsettled, found.flawless) == (1, False)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM steps WHERE seq = 1",
        "DELETE FROM run_events WHERE seq = 2",
        "DELETE FROM run_events WHERE seq = 1",
        "DELETE FROM run_events WHERE seq = (SELECT max(seq) FROM run_events)",
        "DELETE FROM messages WHERE turn = 1",
        "UPDATE messages SET part = 1 WHERE turn = 1",
    ],
)
async def test_a_gap_anywhere_is_found(witness: Witness, run_id: str, database_url: str, damage: str) -> None:
    execute(database_url, damage)
    found = witness.examine([run_id])
    assert (found.gaps, found.flawless) == (1, False)


async def test_the_tally_knows_who_holds_what(witness: Witness, db: Database) -> None:
    made = await make_step(db, worker="host:42")
    assert witness.holders() == {"host:42": 1}
    assert (witness.tally([made.run_id]).runs, witness.tally([made.run_id]).settled) == ({"running": 1}, 0)
