"""Batches of several accounts, and of platforms that have none."""

from collections.abc import AsyncIterator

import pytest

from agentfleet.provider.account import Account
from agentfleet.provider.batches import make_batches
from agentfleet.provider.factory import make_reasoner
from agentfleet.provider.limits import Limits
from agentfleet.simulator.serve import Running
from agentfleet.store.database import Database
from tests import invariants
from tests.conftest import Clock
from tests.integration.batches.stage import Stage

LIMITS = Limits(connections=20)


@pytest.fixture
async def stage(
    request: pytest.FixtureRequest, db: Database, database_url: str, sim: Running, clock: Clock
) -> AsyncIterator[Stage]:
    """With the accounts that the test names, on one simulator."""
    accounts = [Account.model_validate({"base_url": sim.url, **fields}) for fields in request.param]
    service = make_batches("anthropic", base_url=None, api_key=None, limits=LIMITS, accounts=accounts)
    reasoner = make_reasoner("anthropic", base_url=None, api_key=None, limits=LIMITS, accounts=accounts)
    yield Stage(db, database_url, sim, service, reasoner, clock)
    await service.close()
    await reasoner.close()
    invariants.check(database_url)


@pytest.mark.parametrize(
    "stage", [[{"name": "east", "api_key": "east/key"}, {"name": "west", "api_key": "west/key"}]], indirect=True
)
async def test_each_account_gets_its_own_batch_and_keeps_its_runs(stage: Stage) -> None:
    await stage.submit(12)
    await stage.through()
    assert stage.states() == ["succeeded"] * 12
    asked = {entry.organization: entry.batch for entry in stage.calls("batch_item")}
    assert asked.keys() == {"east", "west"}
    answered = dict(stage.query("SELECT account, count(*) FROM runs GROUP BY account"))
    assert answered == dict(stage.query("SELECT account, requests FROM batches"))


@pytest.mark.parametrize("stage", [[{"name": "azure", "platform": "foundry", "api_key": "azure/key"}]], indirect=True)
async def test_a_platform_without_batches_is_called_directly_at_once(stage: Stage) -> None:
    await stage.submit(2)
    await stage.work()
    await stage.sender.run_once()
    await stage.work()
    assert (stage.states(), stage.batches(), stage.items()) == (["succeeded"] * 2, ["lost"], ["spilled"] * 2)
    assert stage.calls("batches") == []


@pytest.mark.parametrize(
    "stage", [[{"name": "east", "api_key": "east/key"}, {"name": "west", "api_key": "west/key"}]], indirect=True
)
async def test_an_account_that_is_listed_no_more_gives_its_batches_up(stage: Stage, sim: Running) -> None:
    await stage.submit(12)
    await stage.work()
    await stage.sender.run_once()
    west = [Account.model_validate({"base_url": sim.url, "name": "west", "api_key": "west/key"})]
    stage.service = make_batches("anthropic", base_url=None, api_key=None, limits=LIMITS, accounts=west)
    stage.reasoner = make_reasoner("anthropic", base_url=None, api_key=None, limits=LIMITS, accounts=west)
    stage.__post_init__()
    stage.pass_time(60)
    await stage.receiver.run_once()
    await stage.work()
    assert stage.states() == ["succeeded"] * 12
    assert sorted(stage.batches()) == ["ended", "lost"]
    await stage.service.close()
    await stage.reasoner.close()
